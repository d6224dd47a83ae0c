//! Measures what the macros cost the compiler: 200 messages with a handler each, written without
//! macros, with untyped handlers, and with a checked protocol. Each form is a program of its own,
//! and only that program is rebuilt. The forms take turns.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin compile_cost
//! ```
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const HANDLERS: usize = 200;
const ROUNDS: usize = 5;

/// How a program assigns a handler to a message.
#[derive(Clone, Copy)]
enum Form {
    /// A `match` on the type string, by hand.
    Plain,
    /// `#[wsx::handler]` on the untyped endpoint.
    Untyped,
    /// A protocol and a complete endpoint.
    Checked,
    /// The same, with the type strings written at the handlers.
    Spelled,
}

impl Form {
    const ALL: [Self; 4] = [Self::Plain, Self::Untyped, Self::Checked, Self::Spelled];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Untyped => "untyped",
            Self::Checked => "checked",
            Self::Spelled => "spelled",
        }
    }

    fn source(self) -> String {
        let mut source = String::from("#![allow(dead_code)]\nuse serde::{Deserialize, Serialize};\n");
        for n in 0..HANDLERS {
            let derive = if matches!(self, Self::Plain) { "" } else { ", wsx::Message" };
            let _ = writeln!(
                source,
                "#[derive(Serialize, Deserialize{derive})] pub struct M{n} {{ pub a: u32, pub b: String, pub c: Option<f64> }}"
            );
            match self {
                Self::Plain => {}
                Self::Untyped => source.push_str("#[wsx::handler]\n"),
                Self::Checked => source.push_str("#[wsx::handler(on = Station)]\n"),
                Self::Spelled => {
                    let _ = writeln!(source, "#[wsx::handler(\"m{n}\", on = Station)]");
                }
            }
            let _ = writeln!(source, "async fn on_{n}(message: M{n}) {{ drop(message.b); }}");
        }
        source.push_str(&self.rest());
        source
    }

    fn rest(self) -> String {
        let names: Vec<String> = (0..HANDLERS).map(|n| format!("M{n}")).collect();
        match self {
            Self::Plain => {
                let arms: String = (0..HANDLERS)
                    .map(|n| format!("\"m{n}\" => on_{n}(serde_json::from_str(data)?).await,\n"))
                    .collect();
                format!(
                    "pub async fn dispatch(kind: &str, data: &str) -> serde_json::Result<()> {{\nmatch kind {{\n{arms}_ => {{}}\n}}\nOk(())\n}}\nfn main() {{ drop(dispatch(\"m0\", \"\")); }}\n"
                )
            }
            Self::Untyped => "fn main() { drop(wsx::Hub::new()); }\n".to_owned(),
            Self::Checked | Self::Spelled => format!(
                "wsx::protocol! {{ pub Fleet v1 {{ Edge -> Server: {}; }} }}\n#[derive(wsx::Endpoint)]\n#[wsx(side = Server)]\npub struct Station;\nfn main() {{ drop(wsx::Hub::builder().endpoint(Station).build().unwrap()); }}\n",
                names.join(", ")
            ),
        }
    }
}

fn main() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = tests.join("../target/compile_cost");
    for form in Form::ALL {
        write_program(form, &tests, &root);
    }
    for (what, verb) in [("check", "check"), ("build", "build")] {
        let mut took = [const { Vec::new() }; 4];
        for round in 0..=ROUNDS {
            for (form, took) in Form::ALL.into_iter().zip(&mut took) {
                let duration = compile(verb, &root.join(form.name()), &root.join("target"));
                // The first round builds the dependencies.
                if round > 0 {
                    took.push(duration);
                }
            }
        }
        let [plain, untyped, checked, spelled] = took.map(median);
        println!("{what} {HANDLERS} messages with a handler each, median of {ROUNDS}:");
        println!("  plain    {:6.2} s", plain.as_secs_f64());
        for (name, time) in [("untyped", untyped), ("checked", checked), ("spelled", spelled)] {
            let ratio = time.as_secs_f64() / plain.as_secs_f64();
            let each = time.saturating_sub(plain).as_secs_f64() * 1000.0 / HANDLERS as f64;
            println!(
                "  {name}  {:6.2} s, {ratio:.2} times the plain one, {each:.1} ms more for each handler",
                time.as_secs_f64()
            );
        }
    }
}

fn write_program(form: Form, tests: &Path, root: &Path) {
    let program = root.join(form.name());
    fs::create_dir_all(program.join("src")).expect("`target` is writable");
    let manifest = format!(
        "[package]\nname = \"cost-{}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nserde = {{ version = \"1\", features = [\"derive\"] }}\nserde_json = \"1\"\nwsx = {{ package = \"wsx-rs\", path = {:?} }}\n[profile.dev]\nincremental = false\n",
        form.name(),
        tests.join("../wsx"),
    );
    write_if_changed(&program.join("Cargo.toml"), &manifest);
    // The versions of this workspace, so that the programs differ only in their form.
    fs::copy(tests.join("../Cargo.lock"), program.join("Cargo.lock")).expect("the workspace has a lock file");
    write_if_changed(&program.join("src/main.rs"), &form.source());
}

fn write_if_changed(path: &PathBuf, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).expect("`target` is writable");
    }
}

/// Returns how long this command takes for the program alone.
fn compile(verb: &str, program: &Path, target: &Path) -> Duration {
    let source = program.join("src/main.rs");
    let text = fs::read(&source).expect("the program was written before");
    fs::write(&source, text).expect("`target` is writable");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([verb, "--quiet", "--manifest-path"]).arg(program.join("Cargo.toml")).arg("--target-dir").arg(target);
    let start = Instant::now();
    let status = cargo.stdout(Stdio::null()).status().expect("cargo runs");
    assert!(status.success(), "{cargo:?} failed");
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
