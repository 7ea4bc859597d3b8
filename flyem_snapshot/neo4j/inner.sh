#!/usr/bin/env bash
# What runs beside Neo4j, inside the container or on this machine; the same in every runtime.
#
#   inner.sh import  VERSION HOME WORK LOGS PORT   import
#   inner.sh finish  VERSION HOME WORK LOGS PORT   start the server, make the indexes, check them, stop
#   inner.sh shell   VERSION HOME WORK LOGS PORT   start the server, open cypher-shell, stop when it ends
#   inner.sh debug   VERSION HOME WORK LOGS PORT   a shell to look around in
#
# HOME is Neo4j's; WORK holds conf/neo4j.conf, import.args, indexes.cypher and input/; LOGS is kept.  `import` and
# `finish` end when their standard input is closed, so that nothing goes on when the program that started it has died.
# Lines on stdout that begin with "step: " are for people; all else goes to LOGS.

set -uo pipefail
ACTION=$1 VERSION=$2 NEO4J=$3 WORK=$4 LOGS=$5 PORT=$6
export NEO4J_HOME=$NEO4J NEO4J_CONF=$WORK/conf HOME=$WORK TMPDIR=$WORK/tmp
export PATH=$NEO4J/bin:$PATH
export HEAP_SIZE=$(<"$WORK/heap")
CHILD= SERVER= TERMINAL= WATCH=

step() { echo "step: $*"; }

# Each program gets a process group of its own (set -m), so that what it starts ends with it.
begin() {
    local output=$1
    shift
    set -m
    "$@" >>"$output" 2>&1 </dev/null &
    CHILD=$!
    set +m
}

end() {
    local process
    [ -z "$TERMINAL" ] || { kill -TERM "$TERMINAL" 2>/dev/null; wait "$TERMINAL" 2>/dev/null; TERMINAL=; }
    for process in $CHILD $SERVER; do
        kill -TERM -- "-$process" 2>/dev/null
        wait "$process" 2>/dev/null
    done
    CHILD= SERVER=
}

interrupted() {
    trap '' TERM INT HUP
    exit 143
}
trap interrupted TERM INT HUP
trap 'end; [ -z "$WATCH" ] || kill "$WATCH" 2>/dev/null' EXIT

complete() {
    local code=0
    wait "$CHILD" || code=$?
    CHILD=
    return "$code"
}

start_server() {
    local plugins=plugins
    # The images keep APOC aside until somebody asks for it.
    compgen -G "$NEO4J/plugins/apoc*.jar" >/dev/null || ! compgen -G "$NEO4J/labs/apoc*.jar" >/dev/null || plugins=labs
    case $VERSION in
        4.4) echo "dbms.directories.plugins=$NEO4J/$plugins" ;;
        *) echo "server.directories.plugins=$NEO4J/$plugins" ;;
    esac >>"$WORK/conf/neo4j.conf"
    begin "$LOGS/server.log" neo4j console
    SERVER=$CHILD CHILD=
    until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do
        kill -0 "$SERVER" 2>/dev/null || { step "the server ended before it answered"; exit 21; }
        sleep 0.2
    done
}

shell() { exec cypher-shell -a "bolt://127.0.0.1:$PORT" -d data "$@"; }

import_all() {
    local words=(import --database=data)
    [ "$VERSION" = 4.4 ] || words=(database import full data)
    step "importing"
    cd "$WORK/input" || exit 20
    begin "$LOGS/import.log" neo4j-admin "${words[@]}" "@$WORK/import.args"
    complete || exit 20
}

finish_all() {
    step "starting the server"
    start_server
    step "making the indexes"
    begin "$LOGS/indexes.log" shell --format plain --fail-fast -f "$WORK/indexes.cypher"
    complete || exit 22
    begin "$LOGS/states.log" shell --format plain --fail-fast -f "$WORK/states.cypher"
    complete || exit 23
    step "stopping the server"
    end
}

case $ACTION in
    import | finish)
        exec 4<&0
        MAIN=$$
        (while read -r -u 4 _; do :; done; kill -TERM "$MAIN") &
        WATCH=$!
        "${ACTION}_all"
        ;;
    shell)
        start_server
        # Not in the foreground, where bash would let a signal wait until the shell has ended by itself.
        shell <&0 &
        TERMINAL=$! code=0
        wait "$TERMINAL" || code=$?
        TERMINAL=
        exit "$code"
        ;;
    debug)
        cd "$WORK" && exec bash
        ;;
esac
