# SPDX-License-Identifier: LGPL-2.1-or-later
# Container images without a registry. A set of images is a folder /var/lib/docker prepared once and given to each server as a copy.
#
# The set `busybox` is made here. Any other set is a folder tests/images/SET: the script tests/images/build is run as
#     tests/images/build OUT SET
# in a throw-away build root (root, network, debootstrap and apt; the checkout is /src) and leaves in OUT for each image
#     NAME.tar[.gz|.zst|.xz]   its root file system
#     NAME.tags                its tags, one per line (at least one)
#     NAME.changes             optional: Dockerfile instructions for `docker import --change`, one per line
# Every set has the images of `busybox` too.
# shellcheck shell=bash

image_sets() {
    local folder
    echo busybox
    for folder in "$TOP"/tests/images/*/; do
        [[ ! -d $folder ]] || basename "$folder"
    done
}

# image_key SET: the content that the set is made of.
image_key() {
    {
        declare -f make_busybox_image make_images
        [[ $1 == busybox ]] || (cd "$TOP/tests/images" && { cat build; find "$1" -type f -print0 | sort -z | xargs -0 sha256sum; })
    } | sha256sum | cut -c1-12
}

# image_files SET: prints the folder with the set's tarballs, made if need be.
image_files() {
    local set=$1 folder
    folder=$CACHE/images/$set-$(image_key "$set")
    if [[ ! -d $folder ]]; then
        mkdir -p "$CACHE/images"
        (
            exec 9>"$CACHE/images/$set.lock"
            flock 9
            [[ -d $folder ]] || make_images "$set" "$folder"
        ) || die "the images of '$set' could not be made" "The log is $CACHE/images/$set.log."
    fi
    touch "$folder"
    printf '%s\n' "$folder"
}

make_images() {
    local set=$1 folder=$2 began=$SECONDS new=$CACHE/images/.new.$1
    say "Making the images of '$set' (once per content) …"
    rm -rf "$new"
    mkdir "$new"
    if [[ $set == busybox ]]; then
        run_quietly "$CACHE/images/$set.log" make_busybox_image "$new" || return
    else
        run_quietly "$CACHE/images/$set.log" in_root --net --bind "$TOP:/src" --bind "$new:/out" --chdir /src/tests/images \
            "$(root build)" ./build /out "$set" || return
    fi
    compgen -G "$new/*.tags" >/dev/null || { say "tests/images/build left no NAME.tags for '$set'." && return 1; }
    mv -T "$new" "$folder"
    prune "$CACHE/images"
    say "The images of '$set' took $((SECONDS - began)) s."
}

make_busybox_image() {
    # shellcheck disable=SC2016 # the shell in the root expands it
    in_root --bind "$1:/out" "$(root build)" sh -euc '
        mkdir -p /tmp/root/bin /tmp/root/etc /tmp/root/tmp /tmp/root/root /tmp/root/var/www && cd /tmp/root
        cp /bin/busybox bin/
        for applet in $(bin/busybox --list); do
            [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
        done
        echo "root:x:0:0:root:/root:/bin/sh" >etc/passwd
        echo "nobody:x:65534:65534:nobody:/:/bin/false" >>etc/passwd
        echo "root:x:0:" >etc/group
        echo "nogroup:x:65534:" >>etc/group
        chmod 1777 tmp
        tar --create --file /out/busybox.tar --sort=name --mtime=@0 .
        printf "%s\n" busybox:1.37 busybox:latest >/out/busybox.tags
        printf "%s\n" "ENV PATH=/bin" "CMD [\"sh\"]" >/out/busybox.changes'
}

# image_store SET: prints a folder /var/lib/docker with the set's images, made if need be.
image_store() {
    local set=$1 files folder
    image_sets | grep -Fx -- "$set" >/dev/null ||
        die "there is no set of images '$set'" "There are: $(image_sets | xargs). tests/images/SET describes more."
    files=$(image_files "$set") || return 1
    folder=$(root server) || return 1
    folder=$CACHE/stores/$(basename "$files")-$(basename "$folder")
    if [[ ! -d $folder ]]; then
        mkdir -p "$CACHE/stores"
        (
            exec 9>"$CACHE/stores/$set.lock"
            flock 9
            [[ -d $folder ]] || make_store "$set" "$files" "$folder"
        ) || die "the images of '$set' could not be imported"
    fi
    touch "$folder"
    printf '%s\n' "$folder/docker"
}

make_store() {
    local set=$1 files=$2 folder=$3 began=$SECONDS busybox
    busybox=$(image_files busybox) || return 1
    [[ $busybox != "$files" ]] || busybox=
    say "Importing the images of '$set' (once per content) …"
    locked "images-$$" prepare_disk "images-$$" "$folder" import_images "images-$$" "$files" ${busybox:+"$busybox"} || return 1
    rm -rf "$folder/upper"
    prune "$CACHE/stores"
    say "Importing took $((SECONDS - began)) s."
}

# import_images NAME FOLDER…: into a server that is up.
import_images() {
    local name=$1 list lists=() image archive tags change options tag
    shift
    for image in "$@"; do
        lists+=("$image"/*.tags)
    done
    for list in "${lists[@]}"; do
        image=${list%.tags}
        mapfile -t tags <"$list"
        options=()
        if [[ -e $image.changes ]]; then
            while IFS= read -r change; do
                [[ -z $change ]] || options+=(--change "$change")
            done <"$image.changes"
        fi
        archive=$(compgen -G "$image.tar*") || die "$list has no archive beside it"
        (inside "$name" root docker import "${options[@]}" - "${tags[0]}") <"$archive" >/dev/null ||
            die "docker import of $archive failed"
        for tag in "${tags[@]:1}"; do
            (inside "$name" root docker tag "${tags[0]}" "$tag") </dev/null
        done
    done
}

# copy_docker FROM TO: layers of images are never written again, so they are linked; all else is copied.
copy_docker() {
    local entry
    mkdir -p "$2"
    for entry in "$1"/*; do
        if [[ ${entry##*/} == overlay2 ]]; then
            cp -al "$entry" "$2/" 2>/dev/null || { rm -rf "$2/overlay2" && cp -a "$entry" "$2/"; }
        else
            cp -a --reflink=auto "$entry" "$2/"
        fi
    done
    chmod --reference="$1" "$2"
}

images() {
    local set sets=("$@")
    need_for_hosts
    [[ ${#sets[@]} -gt 0 ]] || mapfile -t sets < <(image_sets)
    for set in "${sets[@]}"; do
        image_store "$set" >/dev/null
        say "'$set' is ready: ./dev host up --images $set"
    done
}
