#!/usr/bin/env bash
# Prints the size of a box's program: one message each way, a handler, and a client that reconnects.
# README.md has its figures. It builds with this machine's compiler, for this machine, in minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

box="$PWD/target/box-size"
mkdir -p "$box/src"
cat >"$box/Cargo.toml" <<END
[package]
name = "box"
version = "0.0.0"
edition = "2024"
[dependencies]
wsx = { package = "$(sed --quiet '0,/^name = "\(.*\)"$/s//\1/p' wsx/Cargo.toml)", path = "$PWD/wsx", default-features = false, features = ["client", "macros"] }
serde = { version = "1", features = ["derive"] }
tokio = { version = "1", features = ["macros", "rt", "time"] }
[features]
rustls = ["wsx/rustls"]
[profile.release]
strip = true
[profile.small]
inherits = "release"
opt-level = "z"
lto = true
codegen-units = 1
panic = "abort"
[workspace]
END
cat >"$box/src/main.rs" <<'END'
use serde::{Deserialize, Serialize};
use std::{error::Error, time::Duration};
use wsx::{CancellationToken, Client, StderrObserver};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}

#[wsx::handler]
fn on_cmd(cmd: Cmd) {
    println!("reboot: {}", cmd.reboot);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let client = Client::builder(url).observer(StderrObserver).build()?;
    tokio::spawn({
        let client = client.clone();
        async move { client.start(CancellationToken::new()).await }
    });
    loop {
        let _ = client.send(&Telemetry { celsius: 21.5 }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
END
# The versions of this repository.
cp Cargo.lock "$box"
for features in "" rustls; do
  for profile in release small; do
    quietly cargo build --offline --manifest-path "$box/Cargo.toml" --profile "$profile" --features "$features" \
      --target-dir "$box/target" || fail "the program does not build; the compiler's words are above"
    printf '%-8s %-7s %9d bytes\n' "$profile" "$features" "$(stat --format=%s "$box/target/$profile/box")"
  done
done
