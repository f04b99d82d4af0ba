# What building, running and testing this project needs, as Debian 12 packages; and how they get installed.
# Sourced by packaging/quickstart and tests/run.

build_packages=(
    g++ cmake ninja-build ccache mold pkg-config
    libboost1.81-dev nlohmann-json3-dev libfmt-dev libspdlog-dev libcli11-dev libssl-dev
    libseccomp-dev libnl-3-dev libnl-route-3-dev libnftables-dev libnftnl-dev libmnl-dev
    libarchive-dev zlib1g-dev libisal-dev libdeflate-dev libzstd-dev liblzma-dev libbz2-dev libre2-dev libyaml-dev libtomlplusplus-dev libsystemd-dev
)
run_packages=(curl ca-certificates iptables busybox-static)
test_packages=(libgtest-dev libgmock-dev python3 git docker-compose docker-registry skopeo zstd openssl iproute2 nftables procps util-linux e2fsprogs)
cli_packages=(docker.io)

# Restarts the script $self with sudo unless it runs as root.
as_root() {
    [ "$(id -u)" = 0 ] && return 0
    command -v sudo >/dev/null || { echo "this needs root, and sudo is not installed" >&2; exit 1; }
    exec sudo --preserve-env=DOCKERD_BIN,http_proxy,https_proxy,no_proxy bash "$self" "$@"
}

# Keeps packages that bring a service from starting it: dpkg asks /usr/sbin/policy-rc.d.
# An administrator's own policy-rc.d stays in force and in place.
guard_services() {
    guard_made=
    [ -e /usr/sbin/policy-rc.d ] && return 0
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    guard_made=1
    trap unguard_services EXIT INT TERM
}

unguard_services() {
    [ -z "${guard_made:-}" ] || rm -f /usr/sbin/policy-rc.d
    guard_made=
}

# install_packages NAME...: installs those that are missing; silent when none is.
install_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return 0
    echo "installing: ${missing[*]}"
    guard_services
    local quiet=(-qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold)
    DEBIAN_FRONTEND=noninteractive apt-get "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { DEBIAN_FRONTEND=noninteractive apt-get "${quiet[@]}" update &&
          DEBIAN_FRONTEND=noninteractive apt-get "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; }
    local result=$?
    unguard_services
    return $result
}
