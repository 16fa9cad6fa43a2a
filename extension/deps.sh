#!/usr/bin/env bash
# Installs what Singularity builds with and runs on; does nothing when it is all there.
#   Debian packages   the PostgreSQL server, its headers, PL/Python, plpgsql_check, a compiler
#   pgvector          the distribution's package, or else Debian 13's source built for this server
#   .venv             the Python packages of python/requirements.txt
# PG_CONFIG chooses the server, PYTHON the interpreter (the system's own by default).
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-/usr/bin/python3}
PGVECTOR_AT_LEAST=0.8.0     # the first that goes on searching an index until enough rows pass the filters
PGVECTOR_SUITE=trixie
lists_refreshed=

main() {
    if [ -n "${PG_CONFIG:-}" ] && ! is_debian_server "$PG_CONFIG"; then
        pg_config=$PG_CONFIG    # a server that Debian did not package: its parts are its owner's to install
    else
        install_debian_packages
        pg_config=/usr/lib/postgresql/$major/bin/pg_config
    fi
    install_pgvector
    check_extensions
    make_python_environment
}

is_debian_server() { # a pg_config that is not there yet counts: its server is about to be installed
    case $("$1" --bindir 2>/dev/null || echo /usr/lib/postgresql/) in
        /usr/lib/postgresql/*) command -v apt-get >/dev/null ;;
        *) return 1 ;;
    esac
}

install_debian_packages() {
    major=$(server_major)
    local wanted=(
        "postgresql-$major" "postgresql-server-dev-$major" "postgresql-plpython3-$major"
        "postgresql-$major-plpgsql-check" make gcc python3-venv
    )
    local missing
    missing=$(comm -23 <(printf '%s\n' "${wanted[@]}" | sort) <(installed_of "${wanted[@]}" | sort))
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086  # one word a package
        apt_install $missing
    fi
}

server_major() {
    local major
    major=$("${PG_CONFIG:-pg_config}" --version 2>/dev/null | sed -E 's/^PostgreSQL ([0-9]+).*/\1/' || true)
    [ -n "$major" ] || major=$(default_major)
    [ -n "$major" ] || { refresh_lists >&2; major=$(default_major); }
    [ "${major:-0}" -ge 15 ] || fail "PostgreSQL 15 or later is needed, found '${major}'. Set PG_CONFIG to a later one."
    echo "$major"
}

default_major() { # of the distribution: the metapackage's version starts with it
    apt-cache policy postgresql | sed -nE 's/^ *Candidate: ([0-9]+)\+.*/\1/p'
}

installed_of() {
    dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p'
}

install_pgvector() {
    local have control
    control=$("$pg_config" --sharedir)/extension/vector.control
    have=$(sed -nE "s/^default_version = '(.*)'/\1/p" "$control" 2>/dev/null || true)
    at_least "$have" && return
    command -v apt-get >/dev/null || fail "pgvector $PGVECTOR_AT_LEAST or later is needed: install it for $pg_config."
    if [ -n "${major:-}" ] && at_least "$(candidate "postgresql-$major-pgvector")"; then
        apt_install "postgresql-$major-pgvector"
    else
        build_pgvector
    fi
}

at_least() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$PGVECTOR_AT_LEAST"; }

candidate() { apt-cache policy "$1" | sed -nE 's/^ *Candidate: ([0-9].*)/\1/p'; }

build_pgvector() { # with apt lists of its own, so that the system's package sources stay as they are
    say "building pgvector from Debian's $PGVECTOR_SUITE source package"
    apt_install dpkg-dev debian-archive-keyring
    local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || { refresh_lists; mirror=$(debian_mirror); }
    [ -n "$mirror" ] || fail "no package of pgvector $PGVECTOR_AT_LEAST or later here: install it for $pg_config."
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
    echo "deb-src [signed-by=$keyring] $mirror $PGVECTOR_SUITE main" >"$work/sources.list"
    private_apt update
    (cd "$work" && private_apt source --only-source "pgvector/$PGVECTOR_SUITE")
    # OPTFLAGS is -march=native by default, which another machine may not run
    make -C "$work"/pgvector-*/ -s PG_CONFIG="$pg_config" OPTFLAGS=""
    as_root make -C "$work"/pgvector-*/ -s install PG_CONFIG="$pg_config" OPTFLAGS=""
}

debian_mirror() { # the one this machine takes its own packages from
    local codename
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016  # apt fills these in
    apt-get indextargets --format '$(REPO_URI) $(CODENAME)' \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        sed -n "s/ $codename\$//p" | head -n 1
}

private_apt() {
    apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$work/state" -o Dir::State::Lists="$work/state/lists" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User="" "$@"
}

check_extensions() {
    local name folder
    folder=$("$pg_config" --sharedir)/extension
    for name in plpython3u vector pg_trgm; do
        [ -e "$folder/$name.control" ] || fail "extension $name is missing for $pg_config: install it there."
    done
}

make_python_environment() { # each step again only when what it was made from has changed
    local python=.venv/bin/python place sound=
    place=$(pwd -P) # the programs in .venv hold it: a checkout that was moved needs them anew
    if [ "$(cat .venv/place 2>/dev/null)" = "$place" ] && $python -c 'import pip' 2>/dev/null; then
        sound=yes
    fi
    if [ -n "$sound" ] && cmp -s python/requirements.txt .venv/requirements.txt &&
        cmp -s pyproject.toml .venv/pyproject.toml; then
        return
    fi
    [ ! -e .venv ] || [ -w .venv ] || fail ".venv belongs to another user: remove it first."
    if [ -z "$sound" ]; then
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or later is needed."
        "$PYTHON" -m venv --clear .venv
        echo "$place" >.venv/place
    fi
    if ! cmp -s python/requirements.txt .venv/requirements.txt; then
        say "installing the Python packages into .venv"
        # --no-deps: whatever is needed is in the file
        $python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
            -r python/requirements.txt
        cp python/requirements.txt .venv/
    fi
    $python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
    cp pyproject.toml .venv/
}

apt_install() {
    say "installing Debian packages: $*"
    apt-get --simulate install "$@" >/dev/null 2>&1 || refresh_lists
    apt_get install "$@" || { refresh_lists && apt_get install "$@"; }
}

refresh_lists() { # at most once
    [ -z "$lists_refreshed" ] || return 1
    lists_refreshed=yes
    apt_get update
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root or sudo: $*"
    fi
}

say() { echo "deps: $*"; }

fail() {
    echo "deps: $*" >&2
    exit 1
}

main
