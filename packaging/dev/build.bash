# SPDX-License-Identifier: LGPL-2.1-or-later
# Compiling, packaging and checking the sources, all in the build root.
# shellcheck shell=bash

# What the packages are not made of (as git pathspecs): a change there rebuilds none.
NOT_PACKAGED=(':(exclude)dev' ':(exclude).ci' ':(exclude)packaging/dev' ':(exclude)tests' ':(exclude,glob)*.md')

# The build folders of this checkout; they stay between runs.
build_space() {
    local space
    space=$CACHE/build/$(printf '%s' "$TOP" | sha256sum | cut -c1-12)
    mkdir -p "$space" "$CACHE/ccache"
    printf '%s\n' "$space"
}

# in_build_root COMMAND…: the checkout is /src, its build folders are /build; there is no network. One run at a time, but for a
# shell that somebody keeps open. Data for conformance tests that lies beside the checkout is beside it there too.
in_build_root() {
    local root space beside=()
    [[ ! -d $TOP/../shared/conformance ]] || beside=(--bind "$TOP/../shared:/shared")
    root=$(root build) || return 1
    space=$(build_space) || return 1
    (
        exec 9>"$space/lock" 5>>"$root.use"
        flock -s 5
        [[ -n ${BUILD_UNLOCKED:-} ]] || flock -n 9 || { say "Another run builds this checkout, waiting for it …" && flock 9; }
        exec "$TOP/packaging/dev/in-root" --bind "$TOP:/src" --bind "$space:/build" --bind "$CACHE/ccache:/ccache" \
            "${beside[@]}" --chdir /src "$root" env CCACHE_DIR=/ccache PYTHONDONTWRITEBYTECODE=1 "$@" 9>&-
    )
}

# configure FLAVOUR: sets up /build/FLAVOUR, if it is not set up yet. Prints nothing when all goes well.
configure() {
    local flavour=$1 options=() compiler=gcc
    case $flavour in
    gcc) ;;
    asan) options=('-Db_sanitize=address,undefined') ;;
    clang) compiler=clang ;;
    fuzz) compiler=clang options=(-Dfuzz=true -Dc_args=-fsanitize=fuzzer-no-link '-Db_sanitize=address,undefined' -Db_lundef=false) ;;
    esac
    # shellcheck disable=SC2016 # the shell in the root expands it
    in_build_root sh -euc '
        dir=/build/$1 CC=$2 && shift 2
        export CC
        if [ -e "$dir/build.ninja" ] && meson introspect --buildoptions "$dir" >/dev/null 2>&1; then exit 0; fi
        rm -rf "$dir"
        meson setup "$dir" /src "$@" >"$dir.log" 2>&1 || { tail -n 40 "$dir.log" >&2; exit 1; }' \
        sh "$flavour" "ccache $compiler" "${options[@]}" ||
        die "meson cannot configure the $flavour build" "The message above is meson's; the log is in $(build_space)/$flavour.log."
}

compile() {
    configure "$1"
    in_build_root meson compile -C "/build/$1"
}

build() {
    local flavour=gcc
    while [[ $# -gt 0 ]]; do
        case $1 in
        --clang) flavour=clang ;;
        --asan) flavour=asan ;;
        *) usage "build has no option $1" ;;
        esac
        shift
    done
    compile "$flavour" || die "the $flavour build failed" "The compiler's messages above say where."
    say "Built in $(build_space)/$flavour (/build/$flavour in ./dev shell)."
}

version() {
    sed -n "s/^ *version *: *'\([^']*\)'.*/\1/p;T;q" "$TOP/meson.build"
}

# packages: builds the packages unless this very content was built before; prints the folder that holds them.
packages() {
    local hash folder
    hash=$(tree_hash "${NOT_PACKAGED[@]}") || return 1
    folder=$(root build) || return 1
    folder=$CACHE/debs/$(basename "$folder")-$hash
    if [[ ! -d $folder ]]; then
        mkdir -p "$CACHE/debs"
        (
            exec 9>"$folder.lock"
            flock 9
            [[ -d $folder ]] || make_packages "$folder"
        ) || die "the packages could not be built" "The log is $CACHE/debs/build.log."
        rm -f "$folder.lock"
    fi
    touch "$folder"
    printf '%s\n' "$folder"
}

# make_packages FOLDER: a source and the binary packages of the checkout as it is, without a network.
make_packages() {
    local folder=$1 began=$SECONDS new=$CACHE/debs/.new.$$ source
    source=ccpd-$(version)
    grep -q "^ccpd ($(version)[)+~-]" "$TOP/packaging/debian/changelog" ||
        die "packaging/debian/changelog does not begin with version $(version) of meson.build" "Add an entry to it."
    say "Building the packages of ${source/-/ } …"
    mkdir -p "$new/$source" "$new/out" "$CACHE/ccache"
    (cd "$TOP" && list_sources | tar --create --null --files-from=- --ignore-failed-read) |
        tar --extract --directory "$new/$source"
    mv -T "$new/$source/packaging/debian" "$new/$source/debian"
    # shellcheck disable=SC2016 # the shell in the root expands it
    run_quietly "$CACHE/debs/build.log" in_root --bind "$new:/build" --bind "$CACHE/ccache:/ccache" --chdir "/build/$source" \
        "$(root build)" env CCACHE_DIR=/ccache DEB_BUILD_OPTIONS="nocheck noautodbgsym werror parallel=$(nproc)" sh -euc '
            dpkg-buildpackage -us -uc
            mv ../*.deb ../*.changes ../*.buildinfo ../*.dsc ../*.tar.* ../out/' || return
    mv -T "$new/out" "$folder"
    rm -rf "$new"
    prune "$CACHE/debs"
    say "The packages took $((SECONDS - began)) s."
}

deb() {
    takes_nothing deb "$@"
    local folder
    folder=$(packages)
    rm -rf "$TOP/dist"
    mkdir "$TOP/dist"
    cp "$folder"/* "$TOP/dist/"
    say "The packages are in dist/: $(cd "$TOP/dist" && echo *.deb)"
}

run_lintian() {
    local folder
    folder=$(packages) || return 1
    # The tag that is left out is about uploading to Debian.
    in_root --bind "$folder:/debs" "$(root build)" sh -euc '
        lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --info --no-tag-display-limit /debs/*.changes'
}

# What instances live on: the packages of Docker and PostgreSQL that ccpd may have brought.
LIFELINES=(docker.io docker-ce containerd containerd.io docker-cli docker-compose docker-compose-plugin postgresql)

install_here() {
    takes_nothing install "$@"
    need_root
    [[ $(</proc/1/comm) == systemd ]] ||
        die "this machine was not booted with systemd, so ccpd cannot run on it" "./dev demo tries it on a throw-away server."
    local folder codename package kept=()
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [[ $codename == "$SUITE" ]] ||
        die "the packages are for Debian 13 ($SUITE), and this machine runs ${codename:-something else}" \
            "./dev demo tries them on a throw-away server."
    need_for_roots
    folder=$(packages)
    apt-get install --reinstall -y "$folder"/*.deb || die "apt-get could not install the packages of $folder" "Its messages above say why."
    # Else `apt autoremove` after a removal of ccpd would take Docker away from instances that run on.
    for package in "${LIFELINES[@]}"; do
        ! dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || kept+=("$package")
    done
    [[ ${#kept[@]} -eq 0 ]] || apt-mark manual "${kept[@]}" >/dev/null
    say "Installed. systemctl status ccpd shows the service, sudo ccpctl talks to it."
}

c_files() {
    (cd "$TOP" && list_sources | tr '\0' '\n' | grep -E '^(src|include|tests)/.*\.[ch]$') || true
}

# Shell scripts by name or by first line; the maintainer scripts of the package are among the latter.
shell_files() {
    (
        cd "$TOP" || exit 1
        list_sources | while IFS= read -r -d '' path; do
            [[ -f $path && ! -L $path ]] || continue
            [[ $path == *.bash ]] || head -c 64 "$path" | head -n 1 | grep -aqE '^#!.*/(ba|da)?sh' || continue
            echo "$path"
        done
    )
}

format() {
    takes_nothing format "$@"
    local files
    mapfile -t files < <(c_files)
    [[ ${#files[@]} -gt 0 ]] || die "there are no C files to format"
    in_build_root clang-format -i "${files[@]}"
}

# lint: formatting, shell scripts, man pages, XML; clang-tidy as .clang-tidy says.
lint() {
    takes_nothing lint "$@"
    local files failed=0
    mapfile -t files < <(c_files)
    in_build_root clang-format --dry-run -Werror "${files[@]}" || failed=1
    mapfile -t files < <(shell_files)
    in_build_root shellcheck -x -P SCRIPTDIR "${files[@]}" || failed=1
    mapfile -t files < <(cd "$TOP" && list_sources | tr '\0' '\n' | grep -E '^man/.*\.[1-8]$')
    [[ ${#files[@]} -eq 0 ]] || in_build_root mandoc -T lint -W warning "${files[@]}" || failed=1
    mapfile -t files < <(cd "$TOP" && list_sources | tr '\0' '\n' | grep -E '\.(xml|policy)$')
    [[ ${#files[@]} -eq 0 ]] || in_build_root xmllint --noout --nonet "${files[@]}" || failed=1
    if [[ -e $TOP/.clang-tidy ]]; then
        configure clang
        # shellcheck disable=SC2016 # the shell in the root expands it
        in_build_root sh -euc '
            meson compile -C /build/clang >/build/clang.compile 2>&1 || { tail -n 40 /build/clang.compile >&2; exit 1; }
            run-clang-tidy -quiet -p /build/clang "^/src/src/" >/build/clang.tidy 2>&1 || {
                grep -vE "^\[ *[0-9]+/|^[0-9]+ warnings? |^Running clang-tidy" /build/clang.tidy >&2
                exit 1
            }' || failed=1
    fi
    [[ $failed -eq 0 ]] || die "the checks above found something" "./dev format formats the C files; the rest is by hand."
}

fuzz() {
    local seconds=${1:-30}
    # 0, and what is no number, would be for ever to the fuzzers.
    [[ $# -le 1 && $seconds =~ ^[1-9][0-9]*$ ]] || usage "fuzz takes a number of seconds, not '$*'"
    compile fuzz || die "the fuzzers do not compile" "The compiler's messages above say where."
    # Each fuzzer starts from the corpus in the checkout and what it learned before; what it finds stays in /build/fuzz/findings.
    # shellcheck disable=SC2016 # the shell in the root expands it
    in_build_root sh -euc '
        failed=0 ran=0
        for program in /build/fuzz/tests/fuzz/fuzz-*; do
            [ -x "$program" ] && [ -f "$program" ] || continue
            name=$(basename "$program") ran=$((ran + 1))
            mkdir -p "/build/fuzz/findings/$name" "/build/fuzz/corpus/$name"
            seeds=/src/tests/fuzz/${name#fuzz-}
            [ -d "$seeds" ] || seeds=
            echo "$name for $0 s"
            "$program" -max_total_time="$0" -timeout=10 -artifact_prefix="/build/fuzz/findings/$name/" \
                "/build/fuzz/corpus/$name" $seeds >"/build/fuzz/$name.log" 2>&1 || failed=1
            tail -n 2 "/build/fuzz/$name.log"
        done
        [ "$ran" -gt 0 ] || { echo "there are no fuzzers" >&2; exit 1; }
        exit "$failed"' "$seconds" || die "a fuzzer found something" "The inputs are in $(build_space)/fuzz/findings."
}

bench() {
    [[ -x $TOP/tests/bench/run ]] || die "there is no tests/bench/run to run"
    need_for_hosts
    CCPD_DEV=$TOP/dev exec "$TOP/tests/bench/run" "$@"
}
