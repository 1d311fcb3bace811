#!/bin/sh
# Run once by the image of PostgreSQL, when it has made its data: the user "loam" gets a schema of its own, and no more.
set -eu
{
  printf "\\set password '%s'\n" "$(cat "${LOAM_POSTGRES_PASSWORD_FILE:-/run/secrets/postgres-password}")"
  cat <<'EOF'
CREATE ROLE loam LOGIN PASSWORD :'password';
CREATE SCHEMA loam AUTHORIZATION loam;
EOF
} | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"
