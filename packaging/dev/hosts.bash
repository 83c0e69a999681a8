# SPDX-License-Identifier: LGPL-2.1-or-later
# Booted servers: whole Debian 13 systems in a container of systemd-nspawn, several by name, each with a fresh disk.
# What a server is made of lies in $CACHE/hosts/NAME; what says that it runs in $RUN/NAME. Both may be stale: only the process
# named by pid and start time is believed.
# shellcheck shell=bash

BOOT_LIMIT=${CCPD_DEV_BOOT_LIMIT:-90}

need_for_hosts() {
    need_for_roots
    need systemd-nspawn systemd-container
}

check_name() {
    [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] ||
        usage "a server's name is made of a-z, 0-9 and '-' and has at most 40 characters, not '$1'"
}

# These answer in REPLY, and by their status whether there is such a process: a test asks thousands of times, and a subshell
# for each answer would take longer than what is asked.

# alive NAME: the pid of the server's outermost process, if it runs.
alive() {
    local pid began
    { read -r pid began <"$RUN/$1/pid"; } 2>/dev/null && start_time "$pid" && [[ $REPLY == "$began" ]] || return 1
    REPLY=$pid
}

# first_child PID
first_child() {
    REPLY=
    { read -r REPLY _ <"/proc/$1/task/$1/children" || true; } 2>/dev/null
    [[ -n $REPLY ]]
}

# leader NAME: the pid of the server's systemd, if it is booted or booting.
leader() {
    local child comm children=()
    alive "$1" && first_child "$REPLY" || return 1
    { read -ra children <"/proc/$REPLY/task/$REPLY/children" || true; } 2>/dev/null
    for child in "${children[@]}"; do
        { read -r comm <"/proc/$child/comm"; } 2>/dev/null || continue
        [[ $comm == systemd-nspawn ]] || continue
        first_child "$child"
        return
    done
    return 1
}

need_leader() {
    leader "$1" ||
        die "no server '$1' is up" "./dev host up $1 boots it; ./dev host list shows those that are up, -n NAME chooses one for exec."
}

# inside NAME USER COMMAND…: runs the command in the server, then ends this process with its status. It dies with its caller.
inside() {
    local name=$1 user=$2 pid hierarchy line group=
    shift 2
    need_leader "$name"
    pid=$REPLY
    # In the server's control groups too, else it would look to the server like a process of no place.
    { while read -r line; do [[ $line != 0::* ]] || group=${line#0::}; done <"/proc/$pid/cgroup"; } 2>/dev/null || true
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [[ ! -e $hierarchy/cgroup.controllers ]] || { echo "$BASHPID" >"$hierarchy$group/cgroup.procs"; } 2>/dev/null || true
    done
    local as=(setpriv --pdeathsig KILL --)
    # shellcheck disable=SC2016 # the server's shell expands it
    [[ $user == root ]] || as=(sh -c '
        home=$(getent passwd "$0" | cut -d: -f6) && [ -n "$home" ] || { echo "dev: the server has no user $0" >&2; exit 125; }
        cd "$home" 2>/dev/null || cd /
        exec env HOME="$home" USER="$0" LOGNAME="$0" \
            setpriv --reuid "$0" --regid "$(id -g "$0")" --init-groups --pdeathsig KILL -- "$@"' "$user")
    # Ctrl-C on a terminal is for the command alone: it may have a last word. nsenter would not wait for it. The command ignores
    # no signal because we do, or whoever started us with nohup.
    local status=0 interrupted=false
    trap 'interrupted=true' INT
    (
        trap '' INT
        exec setpriv --pdeathsig KILL -- nsenter --target "$pid" --all -- env -i --default-signal HOME=/root USER=root \
            LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8 TERM="${TERM:-dumb}" \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${as[@]}" "$@"
    ) || status=$?
    # A command that the signal ended is a 1 to nsenter, which ignores it.
    ! $interrupted || [[ $status -ne 1 ]] || status=130
    exit "$status"
}

# boot NAME LAYERS DOCKER EOF-FD: boots a server on a fresh disk. Called with the server's lock held.
boot() {
    local name=$1 layers=$2 docker=$3 eof=$4 work=$CACHE/hosts/$1 state=$RUN/$1
    end_server "$name"
    mkdir -p "$CACHE/hosts" "$state"
    chmod 0700 "$CACHE/hosts" "$state"
    mkdir -p "$work"/{upper,work,root}
    if [[ -n $docker ]]; then
        copy_docker "$docker" "$work/docker"
    else
        mkdir -p "$work/docker"
    fi
    # The descriptors 5 and 6 keep the layers from being pruned while the server lives.
    local layer fds=()
    for layer in ${layers//:/ }; do
        fds+=("${layer%/upper}.use")
    done
    (
        [[ -z ${fds[0]:-} ]] || { exec 5>>"${fds[0]}" && flock -s 5; }
        [[ -z ${fds[1]:-} ]] || { exec 6>>"${fds[1]}" && flock -s 6; }
        [[ -z $LIFE_WRITER ]] || exec {LIFE_WRITER}>&-
        exec setsid "$TOP/packaging/dev/server" "$name" "$state" "$work" "$layers" "$eof" \
            >"$state/console" 2>&1 </dev/null 8>&- 9>&-
    ) &
    local pid=$!
    disown "$pid"
    start_time "$pid" || REPLY=
    printf '%s %s\n' "$pid" "$REPLY" >"$state/pid"
    await_boot "$name"
}

# await_boot NAME: waits until everything is started; says why if something is not.
await_boot() {
    local name=$1 limit=$((SECONDS + BOOT_LIMIT)) state=
    while [[ $SECONDS -lt $limit ]]; do
        alive "$name" || break
        if leader "$name"; then
            state=$( (inside "$name" root timeout $((limit - SECONDS + 1)) systemctl is-system-running --wait) 2>/dev/null </dev/null) || true
            [[ $state != running ]] || return 0
            [[ -z $state || $state == offline ]] || break
        fi
        sleep 0.1
    done
    say "The end of the console of '$name':"
    tail -n 15 "$RUN/$name/console" 2>/dev/null >&2 || true
    if leader "$name"; then
        (inside "$name" root systemctl --no-pager --failed) >&2 </dev/null || true
        (inside "$name" root journalctl --no-pager -b -p warning -n 40) >&2 </dev/null || true
    fi
    die "the server '$name' did not come up (${state:-no answer} after at most $BOOT_LIMIT s)" \
        "The journal and console above say why; ./dev host logs $name shows more, ./dev host down $name ends it."
}

# end_server NAME: ends its processes, which ends its mounts, and removes its disk. Called with the server's lock held.
end_server() {
    local name=$1 pid hierarchy group
    if alive "$name"; then
        pid=$REPLY
        ! first_child "$pid" || kill -KILL "$REPLY" 2>/dev/null || true
        await_end "$pid" 50 || kill -KILL "$pid" 2>/dev/null || true
        await_end "$pid" 50 || die "process $pid of the server '$name' does not end" "See /proc/$pid/stack."
    fi
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        group=$hierarchy/ccpd-dev/$name
        [[ -d $group ]] || continue
        [[ ! -e $group/cgroup.kill ]] || echo 1 >"$group/cgroup.kill"
        # Its processes may still be dying; a server that was booted into their control groups would see them.
        local tries=100
        while [[ -d $group ]] && ! find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
            [[ $tries -gt 0 ]] || die "processes of the server '$name' do not end" "See $group."
            tries=$((tries - 1))
            sleep 0.1
        done
    done
    rm -rf -- "${RUN:?}/$name"
    discard "$CACHE/hosts/$name"
}

# await_end PID TENTHS: waits until the process is gone.
await_end() {
    local tries=$2
    while [[ -e /proc/$1 ]] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; do
        [[ $tries -gt 0 ]] || return 1
        tries=$((tries - 1))
        sleep 0.1
    done
}

# locked NAME COMMAND…: runs it while no other run touches that server.
locked() {
    local name=$1
    shift
    mkdir -p "$RUN"
    (
        take_lock "$name"
        "$@"
    )
}

# take_lock NAME [-n]: holds the server's lock on descriptor 9. A lock file that was removed meanwhile is no lock.
take_lock() {
    local file=$RUN/$1.lock
    while true; do
        exec 9>"$file"
        flock "${@:2}" 9 || return 1
        [[ ! $file -ef /proc/self/fd/9 ]] || return 0
    done
}

# sweep: removes what servers left that died without ./dev host down.
sweep() {
    local folder name
    for folder in "$RUN"/*/ "$CACHE"/hosts/*/; do
        name=$(basename "$folder")
        [[ -d $folder ]] || continue
        ! alive "$name" || continue
        (
            take_lock "$name" -n || exit 0
            if ! alive "$name"; then
                end_server "$name"
                rm -f "$RUN/$name.lock"
            fi
        )
    done
}

# tie: makes LIFE and LIFE_WRITER, the ends of a pipe. A server booted with LIFE ends with this process, however that ends.
LIFE=- LIFE_WRITER=
tie() {
    [[ $LIFE == - ]] || return 0
    local fifo
    fifo=$(mktemp -u)
    mkfifo -m 0600 "$fifo"
    exec {LIFE_WRITER}<>"$fifo"
    exec {LIFE}<"$fifo"
    rm "$fifo"
}

# power_off NAME: an orderly end that leaves the disk. Called with the server's lock held.
power_off() {
    local name=$1 pid
    alive "$name" || return 1
    pid=$REPLY
    need_leader "$name"
    kill -s RTMIN+4 "$REPLY"
    await_end "$pid" 600 || die "the server '$name' does not power off" "./dev host logs $name shows why."
}

# installed_layer: prints a folder whose upper/ and docker/ are what installing the packages changes on a fresh server.
installed_layer() {
    local debs layer
    debs=$(packages)
    layer=$CACHE/layers/$(basename "$(root server)")-${debs##*-}
    if [[ ! -d $layer ]]; then
        mkdir -p "$CACHE/layers"
        (
            exec 9>"$CACHE/layers/lock"
            flock 9
            [[ -d $layer ]] || make_installed_layer "$debs" "$layer"
        ) || die "the packages do not install on a fresh server" "./dev host up --bare boots one to try it by hand."
    fi
    touch "$layer"
    printf '%s\n' "$layer"
}

make_installed_layer() {
    local debs=$1 layer=$2 began=$SECONDS
    say "Installing the packages on a fresh server (once per content) …"
    locked "install-$$" prepare_disk "install-$$" "$layer" \
        run_quietly "$CACHE/layers/install.log" install_debs "install-$$" "$debs" || return 1
    prune "$CACHE/layers"
    say "Installing took $((SECONDS - began)) s."
}

# prepare_disk NAME FOLDER COMMAND…: what the command changes on a fresh bare server becomes FOLDER/upper and FOLDER/docker.
# Called with the server's lock held.
prepare_disk() {
    local name=$1 folder=$2
    shift 2
    tie
    boot "$name" "$(root server)" '' "$LIFE" || return 1
    "$@" || { end_server "$name" && return 1; }
    power_off "$name" || return 1
    rm -rf "$CACHE/hosts/$name/upper/var/log/journal" "$folder.new"
    mkdir "$folder.new"
    mv -T "$CACHE/hosts/$name/upper" "$folder.new/upper"
    mv -T "$CACHE/hosts/$name/docker" "$folder.new/docker"
    mv -T "$folder.new" "$folder"
    end_server "$name"
    rm -f "$RUN/$name.lock"
}

# install_debs NAME FOLDER: by apt from local files, in a server that is up.
install_debs() {
    # shellcheck disable=SC2016 # the server's shell expands it
    tar --create --directory "$2" --file - . |
        (inside "$1" root sh -euc '
            mkdir -p /root/debs && cd /root/debs && tar --extract
            DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 install ./*.deb')
}

host_up() {
    local name='' bare=false images='' eof=-
    while [[ $# -gt 0 ]]; do
        case $1 in
        --bare) bare=true ;;
        --images) needs_value "$@" && images=$2 && shift ;;
        --until-eof) needs_value "$@" && eof=$2 && shift ;;
        -*) usage "host up has no option $1" ;;
        *) [[ -z $name ]] || usage "host up takes one name" && name=$1 ;;
        esac
        shift
    done
    name=${name:-default}
    check_name "$name"
    # Out of the way of the numbers that locks and layers take.
    [[ $eof == - ]] || exec {eof}<&"$eof"
    need_for_hosts
    ! alive "$name" || die "the server '$name' is up already" "./dev host reset $name gives a fresh one."
    up "$name" "$bare" "$images" "$eof"
    say "The server '$name' is up. ./dev host shell $name enters it, ./dev host down $name ends it."
}

# up NAME BARE IMAGES EOF-FD
up() {
    local name=$1 bare=$2 images=$3 eof=$4 layers docker=
    mkdir -p "$RUN"
    sweep
    layers=$(root server)
    if ! $bare; then
        local layer
        layer=$(installed_layer)
        layers=$layer/upper:$layers
        docker=$layer/docker
    fi
    [[ -z $images ]] || docker=$(image_store "$images")
    locked "$name" boot "$name" "$layers" "$docker" "$eof"
    printf '%s\n%s\n' "$bare" "$images" >"$RUN/$name/options"
}

host_down() {
    takes_one "host down" "$@"
    local name=${1:-default}
    check_name "$name"
    need_root
    [[ -e $RUN/$name || -e $CACHE/hosts/$name ]] || die "there is no server '$name'" "./dev host list shows those that are up."
    locked "$name" end_server "$name"
    rm -f "$RUN/$name.lock"
    sweep
}

host_reset() {
    takes_one "host reset" "$@"
    local name=${1:-default} options=(false '')
    check_name "$name"
    need_for_hosts
    [[ -e $RUN/$name || -e $CACHE/hosts/$name ]] || die "there is no server '$name'" "./dev host up $name boots one; ./dev host list shows those that are up."
    [[ ! -e $RUN/$name/options ]] || mapfile -t options <"$RUN/$name/options"
    up "$name" "${options[0]}" "${options[1]}" -
    say "The server '$name' is fresh."
}

# host_reboot [--hard] [NAME]: the same disk, started again; --hard is a power cut.
host_reboot() {
    local hard=false
    [[ ${1:-} != --hard ]] || { hard=true && shift; }
    takes_one "host reboot" "$@"
    local name=${1:-default} pid
    check_name "$name"
    need_root
    need_leader "$name"
    pid=$REPLY
    if $hard; then
        touch "$RUN/$name/again"
        kill -KILL "$pid"
    else
        kill -s RTMIN+5 "$pid"
    fi
    await_end "$pid" 600 || die "the server '$name' does not go down" "./dev host logs $name shows why; reboot --hard cuts its power."
    await_boot "$name"
}

host_list() {
    takes_nothing "host list" "$@"
    need_root
    local folder name
    for folder in "$RUN"/*/; do
        name=$(basename "$folder")
        if leader "$name"; then
            printf '%-30s up    leader %s\n' "$name" "$REPLY"
        elif [[ -d $folder && $name != '*' ]]; then
            printf '%-30s dead  ./dev host down %s removes what is left\n' "$name" "$name"
        fi
    done
}

host_exec() {
    local name=default user=root
    while [[ $# -gt 0 ]]; do
        case $1 in
        -u) needs_value "$@" && user=$2 && shift ;;
        -n) needs_value "$@" && name=$2 && shift ;;
        --) shift && break ;;
        -*) usage "host exec has no option $1" ;;
        *) break ;;
        esac
        shift
    done
    [[ $# -gt 0 ]] || usage "host exec needs a command: ./dev host exec [-u USER] [-n NAME] -- COMMAND…"
    check_name "$name"
    need_root
    inside "$name" "$user" "$@"
}

host_shell() {
    takes_one "host shell" "$@"
    local name=${1:-default}
    check_name "$name"
    need_root
    inside "$name" root script --quiet --command 'cd; exec bash -l' /dev/null
}

host_logs() {
    local name=default
    if [[ $# -gt 0 && $1 != -* ]]; then
        name=$1
        shift
    fi
    check_name "$name"
    need_root
    if leader "$name"; then
        inside "$name" root journalctl --no-pager "$@"
    elif [[ -e $RUN/$name/console ]]; then
        cat "$RUN/$name/console"
    else
        die "no server '$name' is up" "./dev host list shows those that are up."
    fi
}

host() {
    local verb=${1:-}
    [[ $# -eq 0 ]] || shift
    case $verb in
    up | down | reset | reboot | list | exec | shell | logs) "host_$verb" "$@" ;;
    '') usage "host needs a verb: up, down, reset, reboot, shell, list, exec or logs" ;;
    *) usage "host has no verb '$verb'" ;;
    esac
}
