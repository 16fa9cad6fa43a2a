#!/usr/bin/env bash
# What PL/Python functions need on the database server.
#   collect           puts it together in build/server; does nothing when it is all there
#   install FOLDER    copies build/server to FOLDER, in one step for the sessions that use it
#   uninstall FOLDER  removes FOLDER
# It has two parts:
#   python/   the packages of python/requirements-server.txt, and python/singularity_plpy
#   model/    the embedding model's files, and the similar words that follow from them
# PG_CONFIG chooses the server, SERVER_PYTHON the interpreter (the one that its PL/Python is linked to by default).
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

PG_CONFIG=${PG_CONFIG:-pg_config}
REQUIREMENTS=python/requirements-server.txt
MODEL=(weights/l2_supercat_256.safetensors tokenizers/l2_supercat_tokenizer_config.json)
collected=build/server

collect() {
    local wanted
    find_interpreter
    wanted=$(made_from)
    [ "$wanted" != "$(cat $collected.made-from 2>/dev/null)" ] || return 0
    echo 'build: collecting Python packages and the embedding model for the database server'
    rm -rf $collected $collected.made-from
    mkdir -p $collected/python $collected/model
    install_packages
    keep_model
    cp -r python/singularity_plpy $collected/python/
    PYTHONPATH=$collected/python "$SERVER_PYTHON" -m singularity_plpy.write_similar $collected/model
    compile
    echo "$wanted" >$collected.made-from
}

install() { # sessions have files of the old folder open and mapped: those stay as they are until the session ends
    local folder=$1
    rm -rf "$folder.new" "$folder.old"
    mkdir -p "$(dirname "$folder")"
    cp -r $collected "$folder.new"
    chmod -R a+rX "$folder.new"
    [ ! -e "$folder" ] || mv "$folder" "$folder.old"
    mv "$folder.new" "$folder"
    rm -rf "$folder.old"
}

uninstall() {
    rm -rf "$1" "$1.new" "$1.old"
}

find_interpreter() { # another version than PL/Python's could not load the packages
    local linked
    linked=$(ldd "$("$PG_CONFIG" --pkglibdir)/plpython3.so" 2>/dev/null |
        sed -nE 's/^\s*libpython(3\.[0-9]+).*/\1/p' || true)
    if [ -z "${SERVER_PYTHON:-}" ]; then
        SERVER_PYTHON=/usr/bin/python$linked
        [ -x "$SERVER_PYTHON" ] || SERVER_PYTHON=/usr/bin/python3
    fi
    if [ "$linked" != "$("$SERVER_PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" ]; then
        fail "PL/Python is linked to Python ${linked:-(not found)}, which $SERVER_PYTHON is not: set SERVER_PYTHON."
    fi
}

made_from() {
    "$SERVER_PYTHON" -VV
    sha256sum extension/server-files.sh $REQUIREMENTS python/singularity_plpy/*.py python/singularity_plpy/*.yml
}

install_packages() {
    local pip=(.venv/bin/python -m pip)
    "${pip[@]}" --version >/dev/null 2>&1 || fail 'there is no .venv with pip, run make deps first.'
    "${pip[@]}" --python "$SERVER_PYTHON" install -qq --disable-pip-version-check \
        --no-deps --require-hashes --no-compile --target $collected/python -r $REQUIREMENTS
    rm -rf $collected/python/bin
    find $collected/python -name tests -prune -exec rm -rf {} +
}

keep_model() { # of the package wordllama nothing else is used
    local file
    for file in "${MODEL[@]}"; do
        mv "$collected/python/wordllama/$file" $collected/model/
    done
    mv $collected/python/wordllama-*.dist-info $collected/model/
    rm -rf $collected/python/wordllama*
}

compile() { # checked by nothing: the files' times change when they are copied
    find $collected/python -name __pycache__ -prune -exec rm -rf {} +
    "$SERVER_PYTHON" -m compileall -qq --invalidation-mode unchecked-hash -s $collected/python $collected/python
}

fail() {
    echo "build: $*" >&2
    exit 1
}

"$@"
