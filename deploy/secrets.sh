#!/bin/sh
# Makes the secrets of compose.yaml, each in a file of the folder secrets/ beside it. What is there stays as it is: run it
# again whenever one is missing. A file that has several in it, as a URL has a password, is made of those in the others:
# after a change there delete it, and run this again.
#
#   deploy/secrets.sh [FOLDER]
set -eu
umask 022
folder=${1:-$(dirname "$0")/../secrets}
# Nobody else on this machine comes into the folder; in containers its files are read by users of other numbers.
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

keep() {
  name=$1
  if [ -e "$name" ]; then
    cat >/dev/null
    echo "kept  $name"
    return
  fi
  # Never half of one under its name, and never over another.
  cat >".$name.$$"
  chmod 444 ".$name.$$"
  ln ".$name.$$" "$name"
  rm -f ".$name.$$"
  echo "made  $name"
}

random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

for name in session-key secret-key token rabbitmq-password rabbitmq-look-password influxdb-password influxdb-token \
  postgres-admin-password postgres-password; do
  random | keep "$name"
done

rabbitmq=$(cat rabbitmq-password)
look=$(cat rabbitmq-look-password)
printf 'amqp://loam:%s@rabbitmq:5672' "$rabbitmq" | keep amqp-url
printf 'http://look:%s@rabbitmq:15672' "$look" | keep rabbitmq-api-url
printf 'influx://influxdb:8086/loam?org=loam&token=%s' "$(cat influxdb-token)" | keep store-url
printf 'postgres://loam:%s@postgres:5432/loam' "$(cat postgres-password)" | keep registry-url
# Loam has rights on what it makes itself, and on the exchange by which RabbitMQ takes a message to a queue. "look" sees
# policies, and no message.
keep rabbitmq-definitions <<EOF
{
  "vhosts": [{ "name": "/" }],
  "users": [
    { "name": "loam", "password": "$rabbitmq", "tags": "" },
    { "name": "look", "password": "$look", "tags": "management" }
  ],
  "permissions": [
    { "user": "loam", "vhost": "/", "configure": "^loam\\\\.", "write": "^(loam\\\\.|amq\\\\.default\$)", "read": "^loam\\\\." },
    { "user": "look", "vhost": "/", "configure": "^\$", "write": "^\$", "read": "^\$" }
  ]
}
EOF
