#!/bin/sh
# Saves the database of docker-compose.yml to FILE: readable by its owner only, and either whole or not
# there. Sessions and the cache are left out.
#     deploy/backup.sh FILE
set -eu
umask 077
file=${1:?"usage: deploy/backup.sh FILE"}
folder=$(cd "$(dirname "$file")" && pwd)
draft=$(mktemp "$folder/.backup-XXXXXX")
trap 'rm -f "$draft"' EXIT
cd "$(dirname "$0")/.."
docker compose exec -T web python manage.py backup - > "$draft"
mv "$draft" "$folder/$(basename "$file")"
