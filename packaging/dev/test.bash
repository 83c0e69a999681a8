# SPDX-License-Identifier: LGPL-2.1-or-later
# ./dev test: runs the suites, adds up their results. A suite leaves a file of results; one that leaves none has failed.
# shellcheck shell=bash

TALLY=

run_tests() {
    local expression='' suites=()
    while [[ $# -gt 0 ]]; do
        case $1 in
        -k) needs_value "$@" && expression=$2 && shift ;;
        -k*) expression=${1#-k} ;;
        unit | bus | fuzz | host | lint) suites+=("$1") ;;
        *) usage "test knows the suites unit, bus, fuzz, host and lint, not '$1'" ;;
        esac
        shift
    done
    [[ ${#suites[@]} -gt 0 ]] || suites=(unit bus fuzz host lint)
    need_for_hosts
    need python3 python3 pytest-3 python3-pytest /usr/lib/python3/dist-packages/xdist python3-pytest-xdist \
        /usr/lib/python3/dist-packages/prometheus_client python3-prometheus-client
    TALLY=$(mktemp -d)
    # shellcheck disable=SC2064 # expanded now
    trap "rm -rf '$TALLY'" EXIT
    trap 'exit 130' INT

    local suite began
    for suite in "${suites[@]}"; do
        began=$SECONDS
        say "== $suite"
        "test_$suite" "$expression" || true
        printf '%s %s\n' "$suite" "$((SECONDS - began))" >>"$TALLY/times"
    done
    # That what is built for the tests was built is no result of a test that was asked for.
    local none
    none=$(find "$TALLY" -name '*.none' | wc -l)
    [[ -z $expression || $none -lt ${#suites[@]} ]] ||
        record "${suites[0]}" "there is a test that '$expression' chooses" fail
    python3 "$TOP/tests/host/lib/tally.py" "$TALLY" "${suites[@]}"
}

# record SUITE NAME pass|fail: one result that is not counted by a test program.
record() {
    printf '%s %s\n' "$3" "$2" >>"$TALLY/$1.list"
}

# attempt SUITE NAME COMMAND…: the command's success is one test.
attempt() {
    local suite=$1 name=$2
    shift 2
    if ("$@"); then
        record "$suite" "$name" pass
    else
        record "$suite" "$name" fail
        say "FAILED: $name"
    fi
}

test_unit() {
    [[ -n $1 ]] || attempt unit "compiles with clang" compile_quietly clang
    meson_suite unit "$1"
}

# Most of the time these tests wait: for what happens once a minute, and for one program after the other.
test_bus() {
    meson_suite bus "$1" --num-processes "$(($(nproc) * 2))"
}

# The fuzzers run over their corpus; ./dev fuzz searches for more.
test_fuzz() {
    meson_suite fuzz "$1"
    [[ -n $1 ]] || attempt fuzz "every test belongs to one of the suites that are run" no_other_suite
}

no_other_suite() {
    in_build_root meson introspect --tests /build/asan | python3 -c '
import json, sys
others = [test["name"] for test in json.load(sys.stdin) if not {suite.split(":")[-1] for suite in test["suite"]} & {"unit", "bus", "fuzz"}]
sys.exit("tests of no suite that ./dev test runs: " + ", ".join(others) if others else 0)'
}

compile_quietly() {
    configure "$1" && run_quietly "$(build_space)/$1.compile" in_build_root meson compile -C "/build/$1"
}

# meson_suite SUITE EXPRESSION OPTION…: the tests of that suite under AddressSanitizer and UndefinedBehaviorSanitizer.
meson_suite() {
    local suite=$1 expression=$2 names=() log results
    shift 2
    log=$(build_space)/asan/meson-logs
    if (compile_quietly asan); then
        record "$suite" "compiles with gcc and sanitizers" pass
    else
        record "$suite" "compiles with gcc and sanitizers, so that its tests could run" fail
        return 1
    fi
    rm -f "$log"/testlog*.json
    if [[ -n $expression ]]; then
        mapfile -t names < <(meson_tests "$suite" | grep -E -- "$expression")
        [[ ${#names[@]} -gt 0 ]] || { touch "$TALLY/$suite.none" && return 0; }
    fi
    in_build_root env ASAN_OPTIONS=halt_on_error=1:abort_on_error=1:detect_leaks=1 \
        UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1 \
        meson test -C /build/asan --no-rebuild --suite "$suite" --print-errorlogs "$@" "${names[@]}" >&2 || true
    results=$log/testlog.json
    if [[ -s $results ]]; then
        cp "$results" "$TALLY/$suite.meson"
    else
        record "$suite" "meson runs the tests" fail
    fi
}

meson_tests() {
    in_build_root meson introspect --tests /build/asan | python3 -c '
import json, sys
for test in json.load(sys.stdin):
    if any(suite.split(":")[-1] == sys.argv[1] for suite in test["suite"]):
        print(test["name"])' "$1"
}

test_host() {
    local choose=() status=0
    [[ -z $1 ]] || choose=(-k "$1")
    (packages >/dev/null) || { record host "the packages build" fail && return 1; }
    record host "the packages build" pass
    # pytest dies with this shell, and the servers with pytest. Three modules at a time: their servers mostly wait.
    PYTHONDONTWRITEBYTECODE=1 CCPD_DEV=$TOP/dev setpriv --pdeathsig KILL \
        pytest-3 -p no:cacheprovider -n 3 --dist loadfile --durations=15 --junit-xml="$TALLY/host.junit" "${choose[@]}" "$TOP/tests/host" >&2 || status=$?
    # 0: all passed, 1: some failed, which the results say; 5: none was chosen.
    case $status in
    0 | 1) ;;
    5) [[ -z $1 ]] || touch "$TALLY/host.none" ;;
    *) record host "pytest ends in an orderly way (status $status)" fail ;;
    esac
    [[ -s $TALLY/host.junit ]] || record host "pytest leaves its results" fail
}

test_lint() {
    [[ -z $1 ]] || { touch "$TALLY/lint.none" && return 0; }
    attempt lint "the sources keep the formatting and lint rules" lint
    attempt lint "lintian finds nothing in the packages" run_lintian
}
