# SPDX-License-Identifier: LGPL-2.1-or-later
# What every part of ./dev needs: where things lie, messages, locks, packages of the outer machine.
# shellcheck shell=bash disable=SC2034 # the other parts use these variables

CACHE=${CCPD_DEV_CACHE:-/var/cache/ccpd-dev}
RUN=/run/ccpd-dev

say() {
    printf '%s\n' "$*" >&2
}

# die THING-AND-CAUSE [NEXT-STEP]: an error names the thing and the cause, and what to do about it.
die() {
    local status=$?
    # Who pressed Ctrl-C knows why.
    [[ $status -ne 130 ]] || exit 130
    printf 'dev: %s\n' "$1" >&2
    [[ $# -lt 2 ]] || printf '     %s\n' "$2" >&2
    exit 1
}

# usage SENTENCE: the command line is wrong.
usage() {
    printf 'dev: %s\n     ./dev --help lists the commands and their options.\n' "$1" >&2
    exit 2
}

# needs_value OPTION [VALUE]…: the command line goes on after the option.
needs_value() {
    [[ $# -ge 2 ]] || usage "$1 needs a value"
}

# takes_nothing COMMAND [ARGUMENT]…: an argument that would be ignored is a mistake.
takes_nothing() {
    [[ $# -eq 1 ]] || usage "$1 takes no arguments, not '$2'"
}

# takes_one COMMAND [NAME]…
takes_one() {
    [[ $# -le 2 ]] || usage "$1 takes one name, not '$3' too"
}

need_root() {
    [[ $EUID -eq 0 ]] || die "this needs root: ./dev mounts file systems, boots servers and installs packages" "Run it with sudo, or as root."
}

# need COMMAND PACKAGE …: installs the packages whose commands (or files) are missing.
need() {
    local missing=()
    while [[ $# -ge 2 ]]; do
        if [[ $1 == /* ]]; then
            [[ -e $1 ]] || missing+=("$2")
        else
            command -v -- "$1" >/dev/null || missing+=("$2")
        fi
        shift 2
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    need_root
    command -v apt-get >/dev/null ||
        die "the packages ${missing[*]} are missing, and there is no apt-get to install them with" \
            "./dev runs on Debian 12 and 13."
    say "Installing ${missing[*]} …"
    mkdir -p "$CACHE"
    local log=$CACHE/apt.log
    (
        exec 9>"$CACHE/apt.lock"
        flock 9
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 </dev/null ||
            { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null
    ) || die "apt-get could not install ${missing[*]}: $(tail -n 1 "$log")" "The whole output is in $log."
}

need_for_roots() {
    need_root
    need debootstrap debootstrap /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring gpgv gpgv \
        unshare util-linux mount mount ip iproute2 git git
}

# run_quietly LOG COMMAND…: the output goes to a file; on failure its end is shown, but not after Ctrl-C, which is status 130.
run_quietly() {
    local log=$1 status=0
    shift
    (trap 'exit 130' INT && "$@") >"$log" 2>&1 || status=$?
    [[ $status -eq 0 || $status -eq 130 ]] || { tail -n 40 "$log" && say "The whole output is in $log."; } >&2
    return "$status"
}

# tree_hash PATHSPEC…: the content of the checkout as one hash: what git tracks or would track.
tree_hash() {
    local path
    (
        cd "$TOP" || exit 1
        list_sources "$@" | while IFS= read -r -d '' path; do
            [[ -L $path || -f $path ]] && printf '%s\0' "$path"
        done | LC_ALL=C sort -z | xargs -0 -r stat --printf '%A %N\n' -- | sha256sum
        list_sources "$@" | while IFS= read -r -d '' path; do
            [[ ! -L $path && -f $path ]] && printf '%s\0' "$path"
        done | LC_ALL=C sort -z | xargs -0 -r sha256sum --
    ) | sha256sum | cut -c1-16
}

# The files of the checkout, each name ended by a NUL. Arguments: git pathspecs.
list_sources() {
    git -c "safe.directory=$TOP" -C "$TOP" ls-files -z --cached --others --exclude-standard -- . "$@" ||
        die "git cannot list the files of $TOP" "./dev works in a git checkout; is git installed?"
}

# start_time PID: REPLY becomes field 22 of /proc/PID/stat, which with the pid names a process for good. A zombie has none.
start_time() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<<"${stat##*) }"
    REPLY=${fields[19]}
    [[ ${fields[0]} != Z ]]
}

# prune FOLDER: what nobody used for two days goes, but for what a booted server or a build holds a lock on. Who uses an entry
# touches it.
prune() {
    local old
    find "$1" -mindepth 1 -maxdepth 1 -type d -name '*-*' -mmin +2880 | while IFS= read -r old; do
        (
            exec 8>"$old.use"
            flock -n 8 && rm -rf --one-file-system -- "$old" "$old.use"
        ) || true
    done
}

# Removes a folder that nobody may find half removed.
discard() {
    local path=$1 doomed
    [[ -e $path ]] || return 0
    doomed=$(dirname "$path")/.doomed.$$.$RANDOM
    mv -T -- "$path" "$doomed" && rm -rf --one-file-system -- "$doomed"
}
