//! The programs of the guide and of the quick start, taken from there as printed: row D2 of the
//! specification.
//!
//! The guide writes files, changes them, runs programs, and makes mistakes. This test does all of
//! it in the guide's order. A block of code that is none of these fails the test, so that all code
//! of the guide is tested.
use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, Output},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};
use wsx_tests::page::{Block, blocks, page};

/// How long a line of a program may take. Long enough for a busy machine; a test that passes never
/// waits this long.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The address of the server in the guide.
const ADDRESS: &str = "127.0.0.1";
/// The path of the reader's clone in the guide.
const CLONE: &str = "../wsx/wsx";

/// Returns the text with the path of wsx on this machine.
fn with_path_of_wsx(text: &str) -> String {
    let wsx = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("wsx");
    text.replace(CLONE, wsx.to_str().expect("a path in UTF-8"))
}

/// The package of a reader who has typed the guide's code so far.
struct Package {
    folder: PathBuf,
    target: PathBuf,
    /// A loopback address that only this process and test use, so that the port is free.
    address: String,
}

impl Package {
    /// A package that has only the lock file. Packages and their programs have different names,
    /// because they share one target directory.
    fn new(name: &str, network: u8) -> Self {
        let folder_of_test = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
        let folder = folder_of_test.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder of the last run can be removed");
        }
        fs::create_dir_all(folder.join("src/bin")).expect("the test can make its folder");
        // The versions that the workspace is tested with; other versions would need the network.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        fs::copy(lock, folder.join("Cargo.lock")).expect("the workspace has a lock file");
        // A process id has at most 22 bits.
        let [_, high, middle, low] = process::id().to_be_bytes();
        let address = format!("127.{}.{middle}.{low}", network | high);
        Self { folder, target: folder_of_test.join("target"), address }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_else(|error| panic!("{file} is not there yet: {error}"))
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
    }

    /// Writes a whole file, with the paths and addresses of this machine.
    fn enter(&self, file: &str, text: &str) {
        let text = if file == "Cargo.toml" {
            assert!(text.contains(CLONE), "the manifest takes wsx from the reader's clone");
            // A reader's folder is not in a workspace; this one is. That comes first, because the
            // guide adds to the end.
            format!("[workspace]\n\n{}", with_path_of_wsx(text))
        } else {
            self.localize(text)
        };
        self.write(file, &text);
    }

    fn localize(&self, text: &str) -> String {
        text.replace(ADDRESS, &self.address)
    }

    /// Applies a change to a file, and returns the file's text before it.
    fn change(&self, Block { line, text, .. }: &Block<'_>, file: &str) -> String {
        let before = self.read(file);
        let text_part = |other: char| -> String {
            let kept = text.lines().filter(|line| !line.starts_with(other));
            let kept: String = kept.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect();
            self.localize(&with_path_of_wsx(&kept))
        };
        let (old, new) = (text_part('+'), text_part('-'));
        assert_eq!(before.matches(&old).count(), 1, "line {line}: {file} must have this exactly once:\n{old}");
        self.write(file, &before.replace(&old, &new));
        before
    }

    fn cargo(&self, command: &str) -> Output {
        self.cargo_with("", command)
    }

    /// Runs cargo with this value of `WSX_CONTRACT`.
    fn cargo_with(&self, contract: &str, command: &str) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.env("WSX_CONTRACT", contract);
        // Many builds of small programs, which need no debug information.
        cargo.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_TERM_COLOR", "never");
        cargo.current_dir(&self.folder).args([command, "--offline", "--target-dir"]).arg(&self.target);
        if command == "build" {
            cargo.arg("--quiet");
        }
        cargo.output().unwrap_or_else(|error| panic!("{cargo:?} does not run: {error}"))
    }

    /// Runs the tests of the package, which print these lines among others.
    fn test(&self, Block { line, text, .. }: &Block<'_>, contract: &str) {
        let output = self.cargo_with(contract, "test");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = format!("line {line}: cargo prints:\n{printed}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !why.contains("warning"), "{why}");
        let tests = printed.lines().filter(|line| line.starts_with("test ") && !line.starts_with("test result"));
        assert!(tests.eq(text.lines().skip(1)), "{why}");
    }

    /// Runs the tests of the package, of which one fails and prints these lines among others.
    fn test_fails(&self, Block { line, text, .. }: &Block<'_>) {
        let output = self.cargo("test");
        let printed = [&*output.stdout, &output.stderr].map(String::from_utf8_lossy).concat();
        assert!(!output.status.success(), "line {line}: the tests pass:\n{printed}");
        for quoted in text.lines().skip(1) {
            assert!(printed.lines().any(|printed| printed == quoted), "line {line}: cargo prints:\n{printed}");
        }
    }

    /// Returns the compiler's output, which is empty if everything is right.
    fn build(&self) -> String {
        let output = self.cargo("build");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), !printed.contains("error"), "{printed}");
        printed
    }

    /// Keeps a program as it is now.
    fn keep(&self, program: &str, name: &str) {
        fs::copy(self.target.join("debug").join(program), self.folder.join(name)).expect("the program was built");
    }

    fn start(&self, program: &str) -> Program {
        let kept = self.folder.join(program);
        let path = if kept.exists() { kept } else { self.target.join("debug").join(program) };
        let started = Program::start(&path);
        started.unwrap_or_else(|error| panic!("{program} does not start: {error}"))
    }
}

/// A program of the guide. Dropping it kills it.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(path: &Path) -> io::Result<Self> {
        // Both outputs through one pipe, as a terminal shows them.
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(path);
        // The last step reads them. A proxy of this machine cannot reach the programs.
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        let child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(reader).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines })
    }

    /// Waits until the program ends by itself, without output.
    fn exits_without_output(&mut self, line: usize) {
        let end = Instant::now() + TIME_LIMIT;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                assert!(status.success(), "line {line}: {status}");
                let printed: Vec<_> = self.lines.iter().collect();
                assert!(printed.is_empty(), "line {line}: it prints {printed:?}");
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("line {line}: it does not exit");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command of a run, which is its first line.
fn command<'b>(block: &'b Block<'_>) -> &'b str {
    block.text.lines().next().unwrap_or_default()
}

/// Runs programs side by side. Each starts after the first line of the one before it.
fn run(package: &Package, shown: &[Block<'_>]) {
    let mut programs = Vec::new();
    for Block { line, text, .. } in shown {
        let (command, expected) = text.split_once('\n').unwrap_or_default();
        let name = command.strip_prefix("$ cargo run -q --bin ").or_else(|| command.strip_prefix("$ ./"));
        let name = name.unwrap_or_else(|| panic!("line {line}: {command:?} does not run a program as the guide does"));
        let program = package.start(name);
        let mut expected: Vec<String> = expected.lines().map(|line| package.localize(line)).collect();
        if !expected.is_empty() && programs.is_empty() {
            compare(&program, *line, &expected.remove(0));
        }
        programs.push((*line, program, expected));
    }
    for (line, program, expected) in &mut programs {
        if expected.is_empty() {
            program.exits_without_output(*line);
        }
        for expected in expected {
            compare(program, *line, expected);
        }
    }
}

fn compare(program: &Program, line: usize, expected: &str) {
    match program.lines.recv_timeout(TIME_LIMIT) {
        Ok(printed) => assert_eq!(printed, expected, "line {line}: the output differs"),
        Err(_) => panic!("line {line}: no output where the guide has {expected:?}"),
    }
}

/// Row D2: the code of the guide compiles without a warning and prints what the guide shows. Each
/// mistake is one error, with the compiler's own text.
#[test]
fn the_guides_program_does_what_the_guide_prints() {
    let guide = page("docs/guide.md");
    let blocks = blocks(&guide);
    let package = Package::new("fleet", 64);
    let (mut runs, mut mistakes) = (0, 0);
    let mut rest = &blocks[..];
    while let [block, following @ ..] = rest {
        rest = following;
        match (block.language, block.file) {
            ("rust" | "toml", Some(file)) => package.enter(file, &block.text),
            ("diff", Some(file)) => {
                let before = package.change(block, file);
                if let [mistake @ Block { line, language: "text", file: None, text }, following @ ..] = rest {
                    rest = following;
                    mistakes += 1;
                    if text.starts_with("$ cargo test\n") {
                        package.test_fails(mistake);
                        package.write(file, &before);
                        continue;
                    }
                    let printed = package.build();
                    let errors =
                        printed.lines().filter(|line| line.starts_with("error") && !line.contains("could not compile"));
                    assert_eq!(
                        errors.count(),
                        1,
                        "line {line}: one mistake must be one error; the compiler printed:\n{printed}"
                    );
                    for quoted in text.lines() {
                        assert!(
                            printed.lines().any(|printed| printed == quoted),
                            "line {line}: the compiler printed:\n{printed}"
                        );
                    }
                    package.write(file, &before);
                }
            }
            ("json", Some(file)) => {
                let text = package.read(file);
                assert!(text.contains(&*block.text), "line {}: {file} has:\n{text}", block.line);
            }
            ("console", None) if block.text.starts_with("$ cargo test\n") => package.test(block, ""),
            ("console", None) if block.text.starts_with("$ WSX_CONTRACT=release cargo test\n") => {
                package.test(block, "release");
            }
            ("console", None) if block.text == "$ cargo build -q\n$ cp target/debug/meter old_meter\n" => {
                assert_eq!(package.build(), "", "line {}", block.line);
                package.keep("meter", "old_meter");
            }
            ("console", None) => {
                // The same program again is another run.
                let mut started = vec![command(block)];
                for other in rest.iter().take_while(|other| other.language == "console") {
                    if started.contains(&command(other)) {
                        break;
                    }
                    started.push(command(other));
                }
                let others = started.len() - 1;
                let shown = &blocks[blocks.len() - rest.len() - 1..][..=others];
                rest = &rest[others..];
                let printed = package.build();
                assert!(printed.is_empty(), "line {}: before it runs, the compiler prints:\n{printed}", block.line);
                run(&package, shown);
                runs += 1;
            }
            (language, file) => {
                panic!(
                    "line {}: a block of {language:?} for {file:?} is neither a file, nor a change, nor a run",
                    block.line
                )
            }
        }
    }
    assert_eq!(package.build(), "", "at the end of the guide");
    assert!(runs >= 6 && mistakes >= 5, "{runs} runs and {mistakes} mistakes");
}

/// Rows D1, D2: the programs of the quick start are the examples of that name. Their box waits for
/// its server, and reconnects after the server was away.
#[test]
fn the_quick_starts_box_reconnects_to_its_server() {
    let readme = page("README.md");
    let blocks = blocks(&readme);
    let shown = |language| blocks.iter().filter(move |block| block.language == language).map(|block| &*block.text);
    let package = Package::new("quick-start", 128);
    let dependencies = shown("toml").next().expect("the quick start has a manifest");
    package.enter("Cargo.toml", &format!("[package]\nname = \"quick-start\"\nedition = \"2024\"\n\n{dependencies}"));
    let [server, edge] = shown("rust,no_run").collect::<Vec<_>>()[..] else {
        panic!("the quick start has two programs")
    };
    for (shown, example) in [(server, "quickstart_server.rs"), (edge, "quickstart_client.rs")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/src/bin").join(example);
        let code = fs::read_to_string(path).expect("the quick start is among the examples");
        let code = code.lines().filter(|line| !line.starts_with("//!"));
        assert!(code.eq(shown.lines()), "{example} differs from the quick start");
    }
    package.enter("src/bin/quick_server.rs", server);
    package.enter("src/bin/quick_box.rs", edge);
    assert_eq!(package.build(), "");

    let edge = package.start("quick_box");
    wait_for_line(&edge, "the next attempt is in");
    for _ in 0..2 {
        let server = package.start("quick_server");
        wait_for_line(&server, &format!("listening on {}:9001", package.address));
        wait_for_line(&server, "conn-0 is connected");
        wait_for_line(&server, " °C");
        drop(server);
        wait_for_line(&edge, "was not sent: not connected");
    }
}

/// The Chinese pages show the code of the English pages, block by block, so the tests of the
/// English pages cover them too.
#[test]
fn the_chinese_pages_show_the_same_code() {
    for (english_name, chinese_name) in [("README.md", "README.zh-CN.md"), ("docs/guide.md", "docs/guide.zh-CN.md")] {
        let (english, chinese) = (page(english_name), page(chinese_name));
        let (english, chinese) = (blocks(&english), blocks(&chinese));
        for (original, translated) in english.iter().zip(&chinese) {
            let place = format!("{chinese_name}:{} and {english_name}:{}", translated.line, original.line);
            assert_eq!(translated.language, original.language, "{place}: different languages");
            assert_eq!(translated.file, original.file, "{place}: different files");
            assert_eq!(translated.text, original.text, "{place}: different code");
        }
        assert_eq!(chinese.len(), english.len(), "{chinese_name} has another number of blocks");
        assert!(!english.is_empty(), "{english_name} has no code");
    }
}

/// Waits for a line that contains this text.
#[track_caller]
fn wait_for_line(program: &Program, text_part: &str) {
    let end = Instant::now() + TIME_LIMIT;
    while let Ok(line) = program.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if line.contains(text_part) {
            return;
        }
    }
    panic!("it does not print {text_part:?}");
}
