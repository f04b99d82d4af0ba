/* The worker's program, as bytes. DOCKERD_UNPACK_FILE is set by the build. */
    .section .rodata.dockerd_unpack, "a", @progbits
    .balign 4096
    .globl dockerd_unpack_begin
    .globl dockerd_unpack_end
    .type dockerd_unpack_begin, @object
dockerd_unpack_begin:
    .incbin DOCKERD_UNPACK_FILE
dockerd_unpack_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
