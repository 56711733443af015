#!/bin/bash
# All control of the manager under test goes through here; the drivers (run_*.py) call it with one of these verbs.
#   up | down                       start / stop the manager (up is a no-op when it runs)
#   load DIR [LOWDIR]               make the unit files of DIR the only ones, LOWDIR the same for the directory of lower priority; reload
#   reload                          read unit files again
#   start|stop|restart|reset-failed UNIT...   wait for the job; exit 0: done
#   start-nowait UNIT               queue the job and return
#   kill UNIT SIGNAL                signal the main process
#   show UNIT PROPERTY              the value of one property, as systemctl show -P prints it
#   show-all UNIT...                all properties of each, as systemctl show --all prints them
#   list PATTERN                    known units: "name active sub"
#   clean                           stop and forget all units
#   unitsdir                        the directory of the unit files, then the one of lower priority
#   places                          the home and the runtime directory of its user, a line each
# SOCKMGR, SOCKMGRD: the binaries, by default those of the debug build beside this file. VEC_BASE: where this manager lives; runs with
# another one do not see each other.
here=$(dirname "$(readlink -f "$0")")
built=${CARGO_TARGET_DIR:-$here/../../target}/debug
SOCKMGR=${SOCKMGR:-$built/sockmgr} SOCKMGRD=${SOCKMGRD:-$built/sockmgrd}
base=${VEC_BASE:-${TMPDIR:-/tmp}/sockmgr-vectors-$(printf %s "$here" | cksum | cut -d' ' -f1)}
units=$base/units low=$base/units-low run=$base/run home=$base/home
export XDG_RUNTIME_DIR=$run HOME=$home
ctl() { timeout 60 "$SOCKMGR" --user "$@"; }
alive() { [ -s "$base/pid" ] && kill -0 "$(cat "$base/pid")" 2>/dev/null; }

# Everything but what was given, dot files included.
empty() { find "$1" -mindepth 1 -delete; }

up() {
    alive && return
    mkdir -p "$units" "$low" "$run" "$home"
    chmod 700 "$run"
    printf '[Manager]\nDefaultLimitAction = "fail"\nLogLevel = "debug"\n' >"$base/sockmgr.toml"
    (
        umask 022
        cd / || exit
        exec setsid env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" \
            XDG_RUNTIME_DIR="$run" XDG_CONFIG_DIRS=/nonexistent XDG_DATA_DIRS=/nonexistent LANG=C.UTF-8 USER="$(id -un)" SHELL=/bin/bash \
            "$SOCKMGRD" --user --unit-path "$units" --unit-path "$low" --config "$base/sockmgr.toml" >>"$base/log" 2>&1 </dev/null
    ) &
    echo $! >"$base/pid"
    for _ in $(seq 300); do
        ctl list-units >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "the manager does not answer; see $base/log" >&2
    return 1
}

# What could still run under the units that are there: instances go with their template.
clean() {
    local names=() name
    while read -r name _; do names+=("$name"); done < <(list '*.socket'; list '*.service'; list '*.target')
    if [ ${#names[@]} -gt 0 ]; then
        ctl stop -- "${names[@]}" >/dev/null 2>&1
        ctl reset-failed >/dev/null 2>&1
    fi
    empty "$units"
    empty "$low"
    ctl daemon-reload
}

list() { ctl list-units --all --plain --no-legend --full -- "$1" | awk '{print $1, $3, $4}'; }

verb=$1
shift
case $verb in
up) up ;;
down)
    alive || exit 0
    kill "$(cat "$base/pid")"
    for _ in $(seq 300); do alive || break; sleep 0.05; done
    rm -f "$base/pid"
    ;;
load)
    empty "$units"
    empty "$low"
    cp -a "$1"/. "$units"/
    [ -z "${2-}" ] || cp -a "$2"/. "$low"/
    ctl daemon-reload
    ;;
reload) ctl daemon-reload ;;
start | stop | restart | reset-failed) ctl "$verb" -- "$@" ;;
start-nowait) ctl --no-block start -- "$@" ;;
kill) ctl kill --kill-whom=main --signal="$2" -- "$1" ;;
show) ctl show -P "$2" -- "$1" ;;
show-all) ctl show --all -- "$@" ;;
list) list "$1" ;;
clean) clean ;;
unitsdir)
    echo "$units"
    echo "$low"
    ;;
places)
    echo "$home"
    echo "$run"
    ;;
*)
    echo "unknown verb $verb" >&2
    exit 64
    ;;
esac
