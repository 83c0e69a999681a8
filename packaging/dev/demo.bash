# SPDX-License-Identifier: LGPL-2.1-or-later
# ./dev demo: from a checkout to an instance that answers.
# shellcheck shell=bash

DEMO_SERVER=demo
DEMO_INSTANCE=hello-demo

demo() {
    takes_nothing demo "$@"
    local began=$SECONDS port
    need_for_hosts
    ! alive "$DEMO_SERVER" || say "The server '$DEMO_SERVER' is up already; it is begun afresh, without what was in it."
    up "$DEMO_SERVER" false busybox -
    say "A fresh server '$DEMO_SERVER' is up, with ccpd installed (${SECONDS} s)."

    demo_step ccpctl create "$DEMO_INSTANCE" --blueprint hello --domain demo.example --wait ||
        die "the instance could not be created" "./dev host logs $DEMO_SERVER -u ccpd -u 'ccp-job@*' shows why."
    demo_step ccpctl status "$DEMO_INSTANCE" || die "ccpctl does not know the instance" "./dev host logs $DEMO_SERVER shows why."

    # shellcheck disable=SC2016 # the server's shell expands it
    port=$( (inside "$DEMO_SERVER" root sh -c 'ccpctl show "$0" --json=short | jq -er ".ports | to_entries[0].value"' \
        "$DEMO_INSTANCE") </dev/null) ||
        die "the instance has no port" "./dev host exec -n $DEMO_SERVER -- ccpctl show $DEMO_INSTANCE shows what it has."
    demo_step curl --fail --silent --show-error --retry 5 --retry-connrefused "http://127.0.0.1:$port/" ||
        die "the instance does not answer on port $port" "./dev host logs $DEMO_SERVER CCP_INSTANCE=$DEMO_INSTANCE shows what it logged."

    cat <<END

The instance '$DEMO_INSTANCE' answers on port $port of the server '$DEMO_SERVER' ($((SECONDS - began)) s in all).
  ./dev host shell $DEMO_SERVER    enters the server; try ccpctl there
  ./dev host down $DEMO_SERVER     ends it and forgets it
END
}

# Shows the command as one would type it in the server, and its output.
demo_step() {
    printf '\n# %s\n' "$*"
    (inside "$DEMO_SERVER" root "$@") </dev/null
}
