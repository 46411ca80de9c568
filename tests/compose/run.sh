#!/usr/bin/env bash
# docker-compose.yml, end to end: weather records into Kafka, forecasts out of it, SQL and Prometheus beside it.
#
#   TICKCAST_BIN=target/debug/tickcast tests/compose/run.sh
#
# It needs root, Debian and its packages; no image has to exist or be pulled. What is missing is built here once and
# kept in ~/.cache/tickcast. Where no Docker daemon answers it starts one of its own: no firewall rules, no default
# bridge, everything in a temporary folder. At the end nothing of it is left running. Containers need no network.
# TICKCAST_COMPOSE_PULL=1 pulls the real images instead, where a registry can be reached.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tickcast
work=$(mktemp -d /tmp/tickcast-compose-XXXXXX)
project=tickcast-test-$$
daemon='' # The pid of our own dockerd,
answers='' # and whether it has answered.
helper='' # The pid of what else runs beside us.
made_by=2 # One more when build_images changes, so that no older archive is loaded.
made=()   # Images that we brought onto somebody else's daemon.
up=''     # Whether there is something of compose's to take down.

pipeline=/etc/tickcast/pipelines/weather.yaml
sink=weather.forecasts
hours=${TICKCAST_COMPOSE_HOURS:-240} # of three stations, in each of the two halves

exec 4>&2 # What is said is heard even from inside a redirected function.
say() { printf 'compose: %s\n' "$*" >&4; }
die() {
  say "FAILED: $*"
  exit 1
}

# ---- at the end, however it comes ----

logs() {
  say "the containers:"
  compose ps >&2 || true
  local service
  for service in topics prometheus kafka tickcast; do
    say "the end of $service's log:"
    compose logs --no-color --tail=25 "$service" 2>/dev/null | cut -c1-300 >&2 || true
  done
}

cleanup() {
  local code=$?
  trap - EXIT
  trap '' INT TERM
  if [ -n "$helper" ]; then
    kill "$helper" 2>/dev/null || true
    wait "$helper" 2>/dev/null || true
  fi
  if [ -n "$up" ]; then
    [ $code -eq 0 ] || logs
    compose down --volumes --remove-orphans --timeout 5 >"$work/down.log" 2>&1 || cat "$work/down.log" >&2
    docker image rm -f "$TICKCAST_IMAGE" >/dev/null 2>&1 || true
  fi
  if [ -n "$daemon" ]; then
    if [ -z "$answers" ]; then tail -n 20 "$work/dockerd.log" >&2 || true; fi
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    local mounted
    while read -r _ mounted _; do
      case $mounted in "$work"/*) umount -l "$mounted" || true ;; esac
    done <<<"$(tac /proc/mounts)"
  elif [ ${#made[@]} -gt 0 ]; then
    docker image rm -f "${made[@]}" >/dev/null 2>&1 || true
  fi
  rm -rf "$work"
  if [ $code -eq 0 ]; then echo 'compose: ok'; fi
  exit $code
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- tools and daemon ----

install_missing() {
  local missing=() command package
  while read -r command package; do
    command -v "$command" >/dev/null || missing+=("$package")
  done <<'EOF'
dockerd docker.io
docker docker.io
mmdebstrap mmdebstrap
java openjdk-17-jre-headless
mvn maven
python3 python3-minimal
curl curl
EOF
  docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing+=(docker-compose)
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "not root, and these packages are missing: ${missing[*]}"
  say "installing ${missing[*]}"
  {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
  } >"$work/apt.log" 2>&1 || {
    tail -n 20 "$work/apt.log" >&2
    die "apt-get install ${missing[*]}"
  }
}

start_daemon() {
  if docker info >/dev/null 2>&1; then
    say "using the Docker daemon that answers"
    return
  fi
  [ "$(id -u)" = 0 ] || die "no Docker daemon answers, and only root can start one"
  export DOCKER_HOST=unix://$work/docker.sock
  echo '{}' >"$work/daemon.json" # Not /etc/docker/daemon.json: it may name what our flags name too.
  # Containers talk to each other on their own bridge, and docker-proxy publishes ports on loopback: neither needs a
  # firewall rule or forwarding. Its own session, so that Ctrl-C lets us take the containers down first.
  setsid setpriv --pdeathsig TERM dockerd --config-file "$work/daemon.json" --host "$DOCKER_HOST" \
    --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/dockerd.pid" \
    --bridge=none --iptables=false --ip-forward=false --ip-masq=false >"$work/dockerd.log" 2>&1 4>&- &
  daemon=$!
  for _ in $(seq 120); do
    if docker info >/dev/null 2>&1; then
      answers=yes
      say "started a Docker daemon: $(docker info --format '{{.ServerVersion}}, {{.Driver}}' 2>/dev/null)"
      return
    fi
    kill -0 "$daemon" 2>/dev/null || die "dockerd ended at once"
    sleep 0.5
  done
  die "dockerd did not answer within 60 s"
}

compose() {
  local command=(docker-compose)
  if docker compose version >/dev/null 2>&1; then command=(docker compose); fi
  DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0 "${command[@]}" --project-directory "$root" --project-name "$project" \
    --file "$root/docker-compose.yml" --file "$here/override.yml" "$@"
}

# ---- images ----

image_of() { # The tag under which docker-compose.yml wants an image.
  sed -n "s#^ *image: *\($1:[^ ]*\).*#\1#p" "$root/docker-compose.yml" | head -n 1
}

kafka_jars() {
  local pom=$root/tests/kafka/pom.xml version coming
  version=$(sed -n '/<artifactId>kafka_2.13</{n;s#.*<version>\(.*\)</version>.*#\1#p}' "$pom")
  [ "apache/kafka:$version" = "$kafka" ] || die "docker-compose.yml has $kafka, tests/kafka/pom.xml has $version"
  jars=$cache/kafka-$version
  [ -d "$jars" ] && return
  say "fetching Kafka's jars"
  coming=$(mktemp -d "$cache/kafka-coming-XXXXXX")
  if ! mvn -q -B -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$coming/jars" \
    >"$work/mvn.log" 2>&1; then
    rm -rf "$coming"
    tail -n 20 "$work/mvn.log" >&2
    die "Maven could not fetch Kafka's jars"
  fi
  mv -T "$coming/jars" "$jars" 2>/dev/null || [ -d "$jars" ] || die "cannot move Kafka's jars to $jars"
  rm -rf "$coming"
}

# bootstrap FILE PACKAGE,...: a Debian root, by this machine's apt settings and from its mirror. Becomes mmdebstrap, so it
# is called in a subshell.
bootstrap() {
  local mirror options=()
  # shellcheck disable=SC2016 # The fields are apt's.
  mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null \
    | awk '$2 == "bookworm" && $3 == "Debian" { print $1; exit }')
  apt-config dump 2>/dev/null | grep -E '^Acquire::https?::(Proxy|CAInfo|Verify)' >"$work/apt.conf" || true
  [ -s "$work/apt.conf" ] && options+=(--aptopt="$work/apt.conf")
  exec mmdebstrap --variant=minbase --include="$2" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "${options[@]}" bookworm "$1" ${mirror:+"$mirror"} >"$1.log" 2>&1
}

build_images() {
  say "building $debian, $kafka and $prometheus (once a machine: some minutes)"
  [ "$(id -u)" = 0 ] || die "no $debian here, and only root can make one"
  local context=$work/images
  mkdir -p "$context"
  cp -r "$here/images/." "$context"
  bootstrap "$work/base.tar" ca-certificates &
  helper=$!
  (bootstrap "$context/root.tar" ca-certificates,openjdk-17-jre-headless,prometheus,wget) || {
    tail -n 20 "$context/root.tar.log" >&4
    die "mmdebstrap could not make the servers' root"
  }
  wait "$helper" || {
    tail -n 20 "$work/base.tar.log" >&4
    die "mmdebstrap could not make $debian"
  }
  helper=
  docker import --change 'CMD ["bash"]' "$work/base.tar" "$debian" >/dev/null
  cp -r "$jars" "$context/libs"
  local name
  for name in kafka prometheus; do
    DOCKER_BUILDKIT=0 docker build --network none --file "$context/Dockerfile.$name" --tag "${!name}" "$context" \
      >"$work/build.log" 2>&1 || {
      tail -n 20 "$work/build.log" >&2
      die "docker build of ${!name}"
    }
  done
  rm -rf "$context" "$work/base.tar"
}

have_images() {
  local image
  for image in "$debian" "$kafka" "$prometheus"; do
    docker image inspect "$image" >/dev/null 2>&1 || return 1
  done
}

bring_images() {
  debian=debian:bookworm-slim kafka=$(image_of apache/kafka) prometheus=$(image_of prom/prometheus)
  [ -n "$kafka" ] || die "docker-compose.yml names no apache/kafka"
  [ -n "$prometheus" ] || die "docker-compose.yml names no prom/prometheus"
  have_images && return
  local image
  if [ -n "${TICKCAST_COMPOSE_PULL:-}" ]; then
    for image in "$debian" "$kafka" "$prometheus"; do docker pull --quiet "$image" >&2; done
    return
  fi
  for image in "$debian" "$kafka" "$prometheus"; do
    docker image inspect "$image" >/dev/null 2>&1 || made+=("$image")
  done
  mkdir -p "$cache"
  kafka_jars
  local key archive
  key=$( (cd "$here/images" && find . -type f -print0 | sort -z | xargs -0 sha256sum; ls "$jars"; echo "$made_by") \
    | sha256sum | cut -c1-16)
  archive=$cache/images-$key.tar
  if [ -e "$archive" ]; then
    say "loading the images of an earlier run"
    docker load --quiet --input "$archive" >"$work/load.log" && have_images && return
    say "$archive is of no use: $(tail -n 1 "$work/load.log")"
  fi
  build_images
  have_images || die "images are still missing after the build: $(docker image ls --format '{{.Repository}}:{{.Tag}}')"
  rm -f "$cache"/images-*.tar
  docker save --output "$archive.$$" "$debian" "$kafka" "$prometheus"
  mv "$archive.$$" "$archive"
}
build_tickcast() {
  [ -n "${TICKCAST_BIN:-}" ] || die "TICKCAST_BIN must name a tickcast binary, for example target/debug/tickcast"
  [ -x "$TICKCAST_BIN" ] || die "TICKCAST_BIN=$TICKCAST_BIN is no program"
  export TICKCAST_CONTEXT=$work/context TICKCAST_IMAGE=tickcast:$project
  mkdir -p "$TICKCAST_CONTEXT"
  cp "$root/Dockerfile" "$TICKCAST_CONTEXT"
  strip --strip-debug -o "$TICKCAST_CONTEXT/tickcast" "$TICKCAST_BIN" 2>/dev/null \
    || cp "$TICKCAST_BIN" "$TICKCAST_CONTEXT/tickcast"
  chmod 755 "$TICKCAST_CONTEXT/tickcast"
  compose build tickcast >"$work/build.log" 2>&1 || {
    tail -n 20 "$work/build.log" >&2
    die "compose build tickcast"
  }
}

# ---- looking ----

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >"$work/look.log" 2>&1; do
    [ $SECONDS -lt $limit ] || die "not within the time allowed: $what (last seen: $(tail -n 3 "$work/look.log"))"
    sleep 1
  done
}

state_of() { docker inspect --format '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$1"; }
is_healthy() { # A container that has ended will not get healthy: say so at once.
  local state
  state=$(state_of "$2")
  echo "$state"
  case $state in
    exited* | dead*) die "$1 has ended with code $(docker inspect --format '{{.State.ExitCode}}' "$2")" ;;
  esac
  [ "$state" = 'running healthy' ]
}
id_of() { compose ps -q "$1" | head -n 1; }
get() { curl --silent --show-error --fail --max-time 5 --noproxy '*' "$@"; }
tickcast_url() { echo "http://127.0.0.1:$TICKCAST_PORT$1"; }

# The sum of a metric over its labels, from tickcast itself: 0 when it is not there.
metric() { get "$(tickcast_url /metrics)" | awk -v name="$1" '$1 ~ "^" name "({|$)" { sum += $NF } END { print sum + 0 }'; }
metric_reaches() {
  local now
  now=$(metric "$1")
  echo "$1 is $now"
  [ "$now" -ge "$2" ]
}

# The same from Prometheus.
prometheus_query() {
  get --get "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=$1" \
    | python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(int(float(r[0]["value"][1])) if r else 0)'
}
prometheus_reaches() {
  local now
  now=$(prometheus_query "$1")
  echo "$1 is $now"
  [ "$now" -ge "$2" ]
}

in_kafka() { compose exec -T kafka "/opt/kafka/bin/$1" --bootstrap-server kafka:9092 "${@:2}"; }

# Another client's count of a topic, committed records only.
count_records() {
  local records
  records=$(in_kafka kafka-console-consumer.sh --topic "$1" --from-beginning --timeout-ms 8000 \
    --isolation-level read_committed 2>"$work/consumer.log" | grep -c . || true)
  grep -q 'Processed a total of' "$work/consumer.log" || {
    tail -n 5 "$work/consumer.log" >&2
    die "the console consumer could not read $1"
  }
  echo "$records"
}

# feed FROM TO: these hours of the bundled weather, a station's code as the key.
feed() {
  zcat "$root/pipelines/data/nyc-weather.csv.gz" | awk -F, -v from="$1" -v to="$2" '
    NR == 1 { columns = split($0, name, ","); next }
    !($2 in hour) { hour[$2] = ++hours }
    hour[$2] > to { exit }
    hour[$2] > from {
      printf "%s\t{\"%s\":\"%s\",\"%s\":\"%s\"", $1, name[1], $1, name[2], $2
      for (i = 3; i <= columns; i++) printf ",\"%s\":%s", name[i], ($i == "" ? "null" : $i)
      print "}"
    }' >"$work/records.tsv" || true # zcat dies of the closed pipe.
  [ -s "$work/records.tsv" ] || die "no weather records could be made from pipelines/data/nyc-weather.csv.gz"
  local records
  records=$(wc -l <"$work/records.tsv")
  in_kafka kafka-console-producer.sh --topic observations --reader-property parse.key=true <"$work/records.tsv" \
    >"$work/producer.log" 2>&1 || {
    cat "$work/producer.log" >&2
    die "the console producer failed"
  }
  fed=$((fed + records))
  say "fed $records weather records, the first: $(head -n 1 "$work/records.tsv" | cut -c1-120)"
}

# settle: until the count of forecasts stands still; sets `forecasts`.
settle() {
  local before=-1
  forecasts=0
  for _ in $(seq 12); do
    forecasts=$(count_records "$sink")
    [ "$forecasts" != "$before" ] || return 0
    before=$forecasts
  done
  die "$sink still grows: $forecasts records"
}

sql_counts() {
  local printed counted
  printed=$(compose exec -T tickcast tickcast sql "$pipeline" "SELECT count(*) AS n FROM forecasts" --format csv \
    2>"$work/sql.log") || {
    tail -n 20 "$work/sql.log" >&2
    die "tickcast sql failed"
  }
  counted=$(tr -d '\r' <<<"$printed" | tail -n 1)
  [ "$(tr -d '\r' <<<"$printed" | head -n 1)" = n ] || die "tickcast sql's CSV has no header n: $printed"
  [ "$counted" = "$1" ] || die "tickcast sql counts $counted forecasts, the console consumer $1"
  say "tickcast sql counts $counted forecasts, as the console consumer does"
}

# ---- the test ----

free_ports() {
  python3 -c 'import socket
held = [socket.socket() for _ in range(3)]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))'
}

bring_up() {
  read -r KAFKA_PORT TICKCAST_PORT PROMETHEUS_PORT <<<"$(free_ports)"
  export KAFKA_PORT TICKCAST_PORT PROMETHEUS_PORT
  up=yes
  compose up -d >"$work/up.log" 2>&1 || {
    tail -n 30 "$work/up.log" >&2
    die "compose up"
  }
  local service
  for service in kafka tickcast prometheus; do
    wait_for 120 "$service is healthy" is_healthy "$service" "$(id_of "$service")"
  done
  say "kafka, tickcast and prometheus are healthy"
  wait_for 60 "tickcast's /ready is 200" get "$(tickcast_url /ready)"
}

first_half() {
  feed 0 "$hours"
  wait_for 120 "tickcast received all $fed records" metric_reaches tickcast_records_received_total "$fed"
  settle
  # Every record but a series' last ones closes a window, and each close gives at least one forecast.
  [ "$forecasts" -ge $((fed * 9 / 10)) ] || die "$fed records gave only $forecasts forecasts in $sink"
  say "$sink holds $forecasts forecasts"
  sql_counts "$forecasts"
  local type
  type=$(get --output /dev/null --write-out '%{content_type}' "$(tickcast_url /metrics)")
  case $type in
    text/plain*version=0.0.4* | application/openmetrics-text*) ;;
    *) die "/metrics says content type '$type', which Prometheus 3 refuses" ;;
  esac
  wait_for 60 "Prometheus scraped all received records" prometheus_reaches 'sum(tickcast_records_received_total)' "$fed"
  wait_for 60 "Prometheus scraped forecasts" prometheus_reaches 'sum(tickcast_forecasts_emitted_total)' 1
  say "Prometheus has $(prometheus_query 'sum(tickcast_records_received_total)') records and" \
    "$(prometheus_query 'sum(tickcast_forecasts_emitted_total)') forecasts"
}

restart_and_second_half() {
  local id code before=$forecasts
  id=$(id_of tickcast)
  compose stop --timeout 30 tickcast >/dev/null 2>&1
  code=$(docker inspect --format '{{.State.ExitCode}}' "$id")
  [ "$code" = 0 ] || die "tickcast ended with code $code on SIGTERM, not 0"
  compose start tickcast >/dev/null 2>&1
  wait_for 120 "tickcast is healthy after a restart" is_healthy tickcast "$(id_of tickcast)"
  wait_for 60 "/ready is 200 after a restart" get "$(tickcast_url /ready)"
  local fed_before=$fed
  feed "$hours" $((2 * hours))
  wait_for 120 "the restarted tickcast received the second half" \
    metric_reaches tickcast_records_received_total $((fed - fed_before))
  settle
  [ "$forecasts" -ge $((before + before * 9 / 10)) ] \
    || die "the second half gave only $((forecasts - before)) forecasts, the first $before"
  say "restarted: $sink holds $forecasts forecasts"
  sql_counts "$forecasts"
}

fed=0
install_missing
start_daemon
bring_images
build_tickcast
bring_up
first_half
restart_and_second_half
