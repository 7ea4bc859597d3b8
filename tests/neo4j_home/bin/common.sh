# Read by the scripts beside it: where this home is, and what Java's module system must allow.

HOME_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export NEO4J_HOME="$HOME_DIR" NEO4J_CONF="${NEO4J_CONF:-$HOME_DIR/conf}"

# Quick to start rather than quick at its peak: the tests start many of these for a moment each.
SWIFT="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+IgnoreUnrecognizedVMOptions"
OPENED="--add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED \
--add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED \
--add-opens=java.base/java.util=ALL-UNNAMED"

# For every Java that is started from here, also by Neo4j's launchers; Java says so on stderr at each start.
export JDK_JAVA_OPTIONS="$SWIFT $OPENED ${JDK_JAVA_OPTIONS:-}"
