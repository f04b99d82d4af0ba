/* The launcher's program, as bytes. DOCKERD_LAUNCHER_FILE is set by the build. */
    .section .rodata.dockerd_launcher, "a", @progbits
    .balign 4096
    .globl dockerd_launcher_begin
    .globl dockerd_launcher_end
    .type dockerd_launcher_begin, @object
dockerd_launcher_begin:
    .incbin DOCKERD_LAUNCHER_FILE
dockerd_launcher_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
