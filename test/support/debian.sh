# To be sourced: downloads Debian packages and unpacks them; nothing is installed. Mirror and key
# are those of this machine's own apt configuration; only the suite differs. The caller defines
# give_up, which says why and ends the script.

# debian_mirror: sets mirror and keyring, as apt would use them for the base suite
debian_mirror() {
  local file
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "this machine has no apt"
  # Without release info: with it, apt leaves out the suites whose lists it has not read yet.
  mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)' 2>/dev/null |
    awk '$4 == "Packages" && $3 == "main" && $2 !~ /[-\/]/ && $1 ~ /debian\/?$/ { print $1; exit }')
  [ -n "$mirror" ] || give_up "apt has no Debian mirror configured"
  keyring=
  for file in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do [ -f "$file" ] && keyring=$file; done
  [ -n "$keyring" ] || give_up "Debian's archive keyring is missing (package debian-archive-keyring)"
}

# debian_suite SUITE DIR: reads the lists of a suite into DIR and sets apt_options for what follows
debian_suite() {
  local suite=$1 root=$2
  rm -rf "$root"
  mkdir -p "$root/lists/partial" "$root/archives/partial" "$root/downloads"
  printf '%s [signed-by=%s] %s %s main\n' deb "$keyring" "$mirror" "$suite" deb-src "$keyring" "$mirror" "$suite" >"$root/sources.list"
  : >"$root/status"
  apt_options=(-qq -o Dir::Etc::SourceList="$root/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o Dir::State::Lists="$root/lists" -o Dir::State::status="$root/status"
    -o Dir::Cache="$root" -o Dir::Cache::archives="$root/archives" -o APT::Sandbox::User=root)
  apt-get "${apt_options[@]}" update || give_up "apt could not read the lists of $suite"
}

# debian_packages SUITE WORK OUT PACKAGE...: downloads packages of a suite and unpacks them into OUT
debian_packages() {
  local suite=$1 root=$2 out=$3 deb
  shift 3
  debian_suite "$suite" "$root"
  (cd "$root/downloads" && apt-get "${apt_options[@]}" download "$@") || give_up "apt could not download $* of $suite"
  rm -rf "$out"
  mkdir -p "$out"
  for deb in "$root"/downloads/*.deb; do dpkg -x "$deb" "$out"; done
}

# debian_source SUITE WORK OUT PACKAGE: downloads a source package and unpacks its original tar into OUT
debian_source() {
  local suite=$1 root=$2 out=$3 package=$4
  debian_suite "$suite" "$root"
  (cd "$root/downloads" && apt-get "${apt_options[@]}" source --download-only "$package") ||
    give_up "apt could not download the source of $package of $suite"
  rm -rf "$out"
  mkdir -p "$out"
  tar xf "$root"/downloads/*.orig.tar.* -C "$out" --strip-components=1
}
