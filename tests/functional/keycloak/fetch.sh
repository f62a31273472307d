#!/bin/sh
# Lays Keycloak, of the release named here, into .build/ and prepares it to start; asks for Maven, Java >= 17 and Python.
set -eu
cd "$(dirname "$0")"
version=26.7.3
if [ "$(cat .build/ready 2>/dev/null)" = "$version" ]; then exit 0; fi
rm -rf .build
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
  -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory=.build -Dmdep.overWriteReleases=true
python3 -m zipfile -e ".build/keycloak-quarkus-dist-$version.zip" .build
rm ".build/keycloak-quarkus-dist-$version.zip"
mv ".build/keycloak-$version"/* .build/
home=$PWD/.build
java -Dkc.home.dir="$home" -Djboss.server.config.dir="$home/conf" -XX:TieredStopAtLevel=1 \
  -Djava.util.logging.manager=org.jboss.logmanager.LogManager -cp .build/lib/quarkus-run.jar \
  io.quarkus.bootstrap.runner.QuarkusEntryPoint build --db=dev-file \
  --features-disabled=account,account-api,ciba,device-flow,kerberos,organization,impersonation,par,passkeys,web-authn \
  >.build/build.log
echo "$version" >.build/ready
