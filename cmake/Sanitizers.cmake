# What a sanitized build (DOCKERD_SANITIZE) adds; see "Sanitizers" in docs/hacking.md.
# DOCKERD_SANITIZE_FLAGS  for compiling and linking modules, the daemon and tests
# DOCKERD_TEST_PATIENCE   by how much longer tests may take and wait
set(DOCKERD_SANITIZE_FLAGS "")
set(DOCKERD_TEST_PATIENCE 1)
if(DOCKERD_SANITIZE)
    set(DOCKERD_SANITIZE_FLAGS -fsanitize=${DOCKERD_SANITIZE} -fno-omit-frame-pointer)
    set(DOCKERD_TEST_PATIENCE 5)
    if(DOCKERD_SANITIZE MATCHES "address")
        list(APPEND DOCKERD_SANITIZE_FLAGS -D_GLIBCXX_ASSERTIONS)
    endif()
    if(DOCKERD_SANITIZE MATCHES "undefined")
        list(APPEND DOCKERD_SANITIZE_FLAGS -fno-sanitize-recover=undefined)
    endif()
    # The runtimes' settings, by functions they look for in the program.
    add_library(dockerd_sanitizers OBJECT ${CMAKE_SOURCE_DIR}/tests/support/sanitizers/options.cpp)
    add_library(dockerd_sanitizers_launcher OBJECT EXCLUDE_FROM_ALL
        ${CMAKE_SOURCE_DIR}/tests/support/sanitizers/launcher_options.cpp)
endif()

# dockerd_sanitize(PROGRAM): compiles an executable's own files like the modules and gives it the settings.
function(dockerd_sanitize program)
    target_compile_options(${program} PRIVATE ${DOCKERD_SANITIZE_FLAGS})
    if(DOCKERD_SANITIZE)
        target_sources(${program} PRIVATE $<TARGET_OBJECTS:dockerd_sanitizers>)
    endif()
endfunction()

# dockerd_sanitize_launcher(PROGRAM STATIC): sets STATIC to whether the launcher is linked statically, as it must be
# without the address sanitizer, whose runtime is only there for dynamic programs. The thread sanitizer is of no use for
# a program without threads.
function(dockerd_sanitize_launcher program static)
    set(${static} TRUE PARENT_SCOPE)
    if(DOCKERD_SANITIZE MATCHES "address")
        set(${static} FALSE PARENT_SCOPE)
        target_compile_options(${program} PRIVATE ${DOCKERD_SANITIZE_FLAGS} -fno-sanitize=vptr)
        target_link_options(${program} PRIVATE ${DOCKERD_SANITIZE_FLAGS} -Wl,--wrap=_exit)
        target_sources(${program} PRIVATE $<TARGET_OBJECTS:dockerd_sanitizers_launcher>)
    endif()
endfunction()

# dockerd_patient(SECONDS VARIABLE): a test's time limit in this build.
function(dockerd_patient seconds variable)
    math(EXPR limit "${seconds} * ${DOCKERD_TEST_PATIENCE}")
    set(${variable} ${limit} PARENT_SCOPE)
endfunction()
