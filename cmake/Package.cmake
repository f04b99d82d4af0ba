# What is installed, and the Debian package of it: `cmake --build BUILD --target package`.
set(manual ${CMAKE_BINARY_DIR}/manual)
add_custom_command(
    OUTPUT ${manual}/dockerd.8 ${manual}/dockerd.8.gz ${manual}/dockerd.bash
    COMMAND ${CMAKE_COMMAND} -E make_directory ${manual}
    COMMAND dockerd_manual man > ${manual}/dockerd.8
    COMMAND dockerd_manual bash > ${manual}/dockerd.bash
    COMMAND gzip -9nc ${manual}/dockerd.8 > ${manual}/dockerd.8.gz
    DEPENDS dockerd_manual VERBATIM)
add_custom_target(manual ALL DEPENDS ${manual}/dockerd.8.gz ${manual}/dockerd.bash)

set(packaging ${CMAKE_SOURCE_DIR}/packaging)
install(TARGETS dockerd RUNTIME DESTINATION /usr/sbin)
file(CREATE_LINK ../sbin/dockerd ${CMAKE_BINARY_DIR}/dockerd.link SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/dockerd.link DESTINATION /usr/bin RENAME dockerd)
install(FILES ${packaging}/systemd/docker.service ${packaging}/systemd/docker.socket DESTINATION /lib/systemd/system)
install(FILES ${packaging}/logrotate/dockerd DESTINATION /etc/logrotate.d)
install(FILES ${packaging}/default/docker DESTINATION /usr/share/dockerd/default)
install(PROGRAMS ${packaging}/sysvinit/docker DESTINATION /usr/share/dockerd/sysvinit)
install(PROGRAMS ${packaging}/openrc/docker DESTINATION /usr/share/dockerd/openrc)
install(FILES ${manual}/dockerd.8.gz DESTINATION /usr/share/man/man8)
install(FILES ${manual}/dockerd.bash DESTINATION /usr/share/bash-completion/completions RENAME dockerd)
install(FILES LICENSE DESTINATION /usr/share/doc/dockerd RENAME copyright)
install(DIRECTORY docs/ DESTINATION /usr/share/doc/dockerd FILES_MATCHING PATTERN "*.md")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dockerd)
set(CPACK_PACKAGE_CONTACT "The dockerd authors")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Docker daemon in C++, in place of docker.io's or docker-ce's")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /)
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, sysvinit-utils (>= 3.05-4~) | lsb-base, iptables, init-system-helpers, libsystemd0")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, docker.io | docker-ce-cli, git")
set(CPACK_DEBIAN_PACKAGE_PROVIDES "docker-daemon")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${packaging}/debian/preinst ${packaging}/debian/postinst ${packaging}/debian/prerm ${packaging}/debian/postrm
    ${packaging}/debian/conffiles ${packaging}/debian/triggers)
include(CPack)
