# SPDX-License-Identifier: LGPL-2.1-or-later
# The two Debian 13 roots that everything happens in: `build` (compilers, libraries, tools) and `server` (what is booted).
# Each is made once per recipe, under a temporary name and a lock, and is never written again.
# shellcheck shell=bash

SUITE=trixie

BUILD_PACKAGES=(
    build-essential clang clang-format clang-tidy llvm libclang-rt-dev meson ninja-build pkgconf ccache git
    libsystemd-dev libpq-dev libsodium-dev libyaml-dev libcurl4-openssl-dev libjansson-dev libpcre2-dev libzstd-dev uthash-dev check
    debhelper dh-sequence-installsysusers lintian po-debconf gettext bash-completion mandoc shellcheck libxml2-utils
    dbus polkitd systemd python3-dbusmock python3-dasbus python3-pytest python3-yaml postgresql valgrind gdb libfaketime
    python3-moto python3-flask-cors
    iproute2 procps jq curl debootstrap ca-certificates busybox-static zstd rsync openssl file
    restic borgbackup
)

SERVER_PACKAGES=(
    systemd systemd-sysv dbus polkitd libpam-systemd ca-certificates docker.io docker-cli docker-compose docker-buildx iptables
    postgresql rsync curl busybox-static iproute2 procps less openssh-server openssh-client bash-completion man-db valgrind
    libfaketime python3-minimal jq zstd adduser debconf
    libsystemd0 libpq5 libsodium23 libyaml-0-2 libcurl4t64 libjansson4 libzstd1
)

# Units that fail or only make noise in a container without hardware and network.
MASKED_UNITS=(
    systemd-modules-load.service console-getty.service getty@tty1.service systemd-udevd.service systemd-udev-trigger.service
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer man-db.timer fstrim.timer
    e2scrub_reap.service systemd-networkd-wait-online.service
)

in_root() {
    "$TOP/packaging/dev/in-root" "$@"
}

# recipe KIND: the text that decides what the root of that kind holds.
recipe() {
    printf '%s\n' "$SUITE" "$(uname -m)"
    declare -f make_base
    [[ $1 != base ]] || return 0
    declare -f "make_$1" install_packages
    case $1 in
    build) printf '%s\n' "${BUILD_PACKAGES[@]}" ;;
    server) printf '%s\n' "${SERVER_PACKAGES[@]}" "${MASKED_UNITS[@]}" ;;
    esac
}

root_path() {
    printf '%s/roots/%s-%s\n' "$CACHE" "$1" "$(recipe "$1" | sha256sum | cut -c1-12)"
}

# root KIND: makes the root if it is not there, prints its path.
root() {
    local kind=$1 path
    path=$(root_path "$kind")
    if [[ ! -d $path ]]; then
        need_for_roots
        # Here, not where it is copied: if it fails, one message says so.
        [[ $kind == base ]] || root base >/dev/null
        mkdir -p "$CACHE/roots"
        (
            exec 9>"$CACHE/roots/$kind.lock"
            flock -n 9 || { say "Another run makes the $kind root, waiting for it …" && flock 9; }
            [[ -d $path ]] || make_root "$kind" "$path"
        ) || die "the $kind root could not be made" "Its log is $CACHE/roots/$kind.log. Is there a network and free space in $CACHE?"
    fi
    touch "$path"
    printf '%s\n' "$path"
}

# Called with the kind's lock held.
make_root() {
    local kind=$1 path=$2 began=$SECONDS stale
    for stale in "$CACHE/roots/.new.$kind"-*; do
        [[ ! -e $stale ]] || rm -rf --one-file-system -- "$stale"
    done
    local new=$CACHE/roots/.new.$kind-$$
    if [[ $kind != base ]]; then
        local base
        base=$(root base) || return
        say "Making the $kind root (once per recipe) …"
        cp -a --reflink=auto "$base" "$new"
    else
        say "Making the base root, Debian $SUITE (once) …"
    fi
    run_quietly "$CACHE/roots/$kind.log" "make_$kind" "$new" || return
    mv -T "$new" "$path"
    prune "$CACHE/roots"
    say "The $kind root took $((SECONDS - began)) s."
}

make_base() {
    local script=/usr/share/debootstrap/scripts/$SUITE
    [[ -e $script ]] || ln -s sid "$script"
    unshare --mount --pid --fork --kill-child debootstrap --variant=minbase "$SUITE" "$1" || return 1
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/log/bootstrap.log
}

# install_packages ROOT PACKAGE…: without documentation in the cached root, without starting services.
install_packages() {
    local root=$1
    shift
    cat >"$root/etc/dpkg/dpkg.cfg.d/ccpd-dev" <<-END
	force-unsafe-io
	path-exclude=/usr/share/doc/*
	path-exclude=/usr/share/locale/*
	path-exclude=/usr/share/man/*
	END
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 0755 "$root/usr/sbin/policy-rc.d"
    in_root --write --net "$root" env DEBIAN_FRONTEND=noninteractive sh -euc '
        echo "man-db man-db/auto-update boolean false" | debconf-set-selections
        apt-get update -qq
        apt-get install -qq -y --no-install-recommends "$@"
        apt-get clean
        rm -rf /var/lib/apt/lists/*' sh "$@" || return 1
    rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/ccpd-dev"
}

make_build() {
    install_packages "$1" "${BUILD_PACKAGES[@]}" || return 1
    in_root --write "$1" useradd --create-home --shell /bin/bash builder
}

make_server() {
    install_packages "$1" "${SERVER_PACKAGES[@]}" || return 1
    in_root --write "$1" systemctl mask "${MASKED_UNITS[@]}" || return 1
    in_root --write "$1" systemctl disable ssh.service || return 1
    in_root --write "$1" sh -euc '
        systemd-machine-id-setup
        echo "127.0.0.1 localhost" >/etc/hosts
        echo "::1 localhost" >>/etc/hosts
        echo server >/etc/hostname
        rm -f /etc/resolv.conf'
}
