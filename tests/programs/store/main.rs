//! The disk store under SIGKILL and power losses: row G29 of the specification.
//!
//! `store --kills N --losses N --folder FOLDER [--seed N]`. The first part kills two processes, a
//! box and its station, at random moments, and starts them again on the same stores (`kills`). The
//! second one records what a process writes and syncs, and rebuilds its files as they may be after
//! a power loss at any point (`losses`). The last line has the figures. A message that is lost,
//! taken for another one, or handled twice is a failure.
mod ends;
mod kills;
mod losses;
mod medium;
mod notes;
mod random;
mod record;
mod trace;

use std::{env, path::PathBuf, process::ExitCode};

/// The result of the program. An error says which promise was broken, and where.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match &*words {
        ["box", url, folder, first, sends] => ends::client(url, folder.as_ref(), first, sends),
        ["station", folder, first, sends] => ends::station(folder.as_ref(), first, sends),
        ["record", folder, first, seed] => record::run(folder.as_ref(), first, seed),
        options => campaign(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("store: FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(options: &[&str]) -> Result {
    let (mut kills, mut losses, mut seed, mut folder) = (200, 400, 1, env::temp_dir());
    for option in options.chunks(2) {
        match option {
            ["--kills", number] => kills = number.parse()?,
            ["--losses", number] => losses = number.parse()?,
            ["--seed", number] => seed = number.parse()?,
            ["--folder", path] => folder = PathBuf::from(path),
            _ => return Err(format!("{} is not an option", option.join(" ")).into()),
        }
    }
    let folder = folder.join(format!("wsx-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let killed = kills::run(&folder.join("kills"), kills, seed)?;
    println!("{killed}");
    let lost = losses::run(&folder.join("losses"), losses, seed)?;
    println!("{lost}");
    // Only after a success: otherwise the files are the proof.
    std::fs::remove_dir_all(&folder)?;
    println!("store: {killed}; {lost}");
    Ok(())
}
