//! A disk that is full, slow, or denies a permission, and files that are not a store.
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::{
    any::type_name,
    env, fs,
    future::Future,
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wsx::{
    CancellationToken, Client, Endpoint, Hub, Report, SendError,
    delivery::{Change, Disk, Mailbox, Store, StoreError, StoreErrorKind},
};
use wsx_tests::{Log, Server, within};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Order {
    n: u32,
    text: String,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Live {
    n: u32,
}

fn order(n: u32) -> Order {
    Order { n, text: "x".repeat(4000) }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("wsx-disk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Runs the body of a test in a process of its own, which `command` starts.
fn apart<Body: Future<Output = ()>>(command: impl FnOnce(&Path) -> Command, body: Body) {
    const APART: &str = "WSX_TEST_APART";
    let (_, test) = type_name::<Body>().split_once("::").unwrap();
    let test = test.split("::{{closure}}").next().unwrap();
    if env::var(APART).as_deref() == Ok(test) {
        return tokio::runtime::Runtime::new().unwrap().block_on(body);
    }
    let mut process = command(&env::current_exe().unwrap());
    let output = process.args(["--exact", test, "--nocapture"]).env(APART, test).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{test} failed:\n{stdout}\n{stderr}");
}

/// A hub whose mailbox is in this store. It logs live messages.
fn hub(store: impl Store, live: &Log<u32>) -> Hub {
    let live = live.clone();
    let on_live = move |message: Live, _| {
        live.add(message.n);
        async {}
    };
    let mailbox = Mailbox::new().messages_per_peer(100_000).bytes_per_peer(1 << 30).bytes(1 << 30).store(store);
    Hub::builder().on("live", on_live).mailbox(mailbox).build().unwrap()
}

async fn live_client(server: &Server<impl Endpoint>) -> Client {
    let client = Client::new(server.url("live"));
    within(client.start(CancellationToken::new())).await.unwrap();
    client
}

/// A client that logs the orders that it handles.
async fn box_7(server: &Server<impl Endpoint>) -> (Client, Log<u32>) {
    let log = Log::default();
    let orders = log.clone();
    let on_order = move |order: Order, _| {
        orders.add(order.n);
        async {}
    };
    let client = Client::builder(server.url("box-7")).on("order", on_order).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    (client, log)
}

fn refused(sent: Result<impl Sized, SendError>) -> StoreErrorKind {
    match sent {
        Err(SendError::Store(error)) => {
            let shown = Report(&*error).to_string();
            assert!(shown.contains("mailbox.db cannot be written: the disk is full"), "{shown}");
            assert!(shown.contains("make room"), "{shown}");
            error.kind()
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is no room"),
    }
}

/// Rows G24 and G26: a full disk rejects new messages, with an error that says so. Live messages go
/// on, and what was accepted stays. With room again, the disk is used again.
#[test]
fn a_full_disk_rejects_only_new_messages() {
    // A process may have a limit on the length of its files. Its signal has to be ignored.
    let command = |program: &Path| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(program);
        command
    };
    apart(command, async {
        let folder = Folder::new("full");
        let (live, open) = (Log::default(), || Disk::open(folder.file("mailbox.db")).unwrap());
        let server = Server::start(hub(open(), &live)).await;
        let client = live_client(&server).await;
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 256 * 1024, hard).unwrap();
        let mut accepted = Vec::new();
        let first = loop {
            let n = accepted.len().try_into().unwrap();
            match within(server.hub.send_to("box-7", &order(n))).await {
                Ok(_) => accepted.push(n),
                failed => break failed,
            }
        };
        assert!(accepted.len() > 1, "there was room at first");
        assert_eq!(refused(first), StoreErrorKind::Full);
        for n in 0..100 {
            within(client.send(&Live { n })).await.unwrap();
            assert_eq!(live.next().await, n);
        }
        assert_eq!(refused(within(server.hub.send_to("box-7", &order(7_000))).await), StoreErrorKind::Full);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "the store has two files, and left no other one");
        setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
        within(server.hub.send_to("box-7", &order(8_000))).await.unwrap();
        accepted.push(8_000);
        client.close();
        within(server.hub.shutdown(Duration::from_secs(10))).await;
        drop(server);

        let hub = within(async {
            loop {
                // The handles of the hub end with its connections.
                match Disk::open(folder.file("mailbox.db")) {
                    Ok(disk) => return hub(disk, &live),
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let server = Server::start(hub).await;
        assert_eq!(server.hub.waiting("box-7").len(), accepted.len());
        let (client, orders) = box_7(&server).await;
        for n in accepted {
            assert_eq!(orders.next().await, n);
        }
        client.close();
        client.closed().await;
        assert_eq!(orders.try_next(), None, "a rejected message is not sent");
    });
}

/// Row G24: without a permission, the error says so, and the file stays as it is.
#[test]
fn a_missing_permission_is_an_error_that_says_so() {
    let copy = Folder::new("program");
    let command = |program: &Path| {
        if !is_root() {
            return Command::new(program);
        }
        // Root may do everything. So this runs as nobody, who may not read the program's folder.
        fs::set_permissions(&copy.0, fs::Permissions::from_mode(0o755)).unwrap();
        let readable = copy.file("program");
        fs::copy(program, &readable).unwrap();
        fs::set_permissions(&readable, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(readable);
        command.uid(65534).gid(65534).current_dir("/");
        command
    };
    apart(command, async {
        assert!(!is_root());
        let folder = Folder::new("denied");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let denied = |what: &str| {
            let before = fs::metadata(folder.file("box.db")).map(|file| file.len()).ok();
            for opened in [Disk::open(folder.file("box.db")), Disk::open_or_replace(folder.file("box.db"))] {
                let error = opened.expect_err("a permission is missing");
                assert_eq!(error.kind(), StoreErrorKind::Denied, "{what}: {error}");
                let shown = Report(&error).to_string();
                assert!(shown.contains("box.db") && shown.contains("change the permissions"), "{what}: {shown}");
                assert!(shown.contains("denied"), "{what}: the reason of the system is missing: {shown}");
            }
            assert_eq!(fs::metadata(folder.file("box.db")).map(|file| file.len()).ok(), before, "{what}");
        };
        set(&folder.0, 0o555);
        denied("a folder without a file");
        set(&folder.0, 0o755);
        let mut disk = Disk::open(folder.file("box.db")).unwrap();
        disk.commit(&[Change::Put { key: "key".to_owned(), value: "value".into() }]).unwrap();
        // As after a kill: what was committed is in the write-ahead log.
        for end in ["", "-wal"] {
            fs::copy(folder.file(&format!("box.db{end}")), folder.file(&format!("killed.db{end}"))).unwrap();
        }
        drop(disk);
        for end in ["", "-wal"] {
            fs::rename(folder.file(&format!("killed.db{end}")), folder.file(&format!("box.db{end}"))).unwrap();
        }
        for mode in [0o444, 0o000] {
            set(&folder.file("box.db"), mode);
            denied("a file");
        }
        set(&folder.file("box.db"), 0o600);
        set(&folder.file("box.db-wal"), 0o444);
        denied("a file with a write-ahead log");
        set(&folder.file("box.db-wal"), 0o600);
        // The end of a store leaves the file alone.
        drop(Disk::open(folder.file("box.db")).unwrap());
        set(&folder.0, 0o555);
        denied("a folder with a file");
        set(&folder.0, 0o755);
        let mut found = Vec::new();
        let mut disk = Disk::open(folder.file("box.db")).unwrap();
        disk.load(&mut |key, value| found.push((key.to_owned(), value.to_vec()))).unwrap();
        assert_eq!(found, [("key".to_owned(), b"value".to_vec())]);
    });
}

/// Row G24: each error of the system has its kind.
#[test]
fn an_error_of_the_system_has_its_kind() {
    for (error, expected) in [
        (io::ErrorKind::StorageFull, StoreErrorKind::Full),
        (io::ErrorKind::QuotaExceeded, StoreErrorKind::Full),
        (io::ErrorKind::FileTooLarge, StoreErrorKind::Full),
        (io::ErrorKind::ReadOnlyFilesystem, StoreErrorKind::ReadOnly),
        (io::ErrorKind::PermissionDenied, StoreErrorKind::Denied),
        (io::ErrorKind::NotFound, StoreErrorKind::Io),
    ] {
        assert_eq!(StoreError::io("it failed", error.into()).kind(), expected, "{error}");
    }
}

/// Rows G22 and G24: a path that is not a store is an error with what to do, and is not changed.
#[test]
fn a_path_that_is_not_a_store_is_an_error_that_says_so() {
    let folder = Folder::new("paths");
    fs::create_dir(folder.file("folder")).unwrap();
    fs::write(folder.file("text"), "a text of another program\n".repeat(1000)).unwrap();
    let mut disk = Disk::open(folder.file("damaged")).unwrap();
    disk.commit(&[Change::Put { key: "key".to_owned(), value: "a value that is damaged".into() }]).unwrap();
    drop(disk);
    let mut bytes = fs::read(folder.file("damaged")).unwrap();
    let at = bytes.windows(15).position(|bytes| bytes == b"that is damaged").unwrap();
    bytes[at] ^= 1;
    fs::write(folder.file("damaged"), &bytes).unwrap();
    for (path, kind, advice) in [
        ("missing/outbox.db", StoreErrorKind::Io, "its folder does not exist: create it"),
        ("text/outbox.db", StoreErrorKind::Io, "its folder is a file: choose another path"),
        ("folder", StoreErrorKind::Io, "it is a folder: choose the path of a file"),
        ("text", StoreErrorKind::Foreign, "is not a store of wsx: choose another path"),
        ("damaged", StoreErrorKind::Corrupt, "is damaged: the checksum of a record is wrong"),
    ] {
        let error = Disk::open(folder.file(path)).expect_err("it is not a store");
        assert_eq!(error.kind(), kind, "{path}: {error}");
        let expected = folder.file(path).display().to_string();
        assert!(error.to_string().contains(&expected) && error.to_string().contains(advice), "{error}");
    }
    assert_eq!(fs::read(folder.file("damaged")).unwrap(), bytes);
    let replaced = Disk::open_or_replace(folder.file("damaged")).unwrap().replaced().unwrap().to_owned();
    assert_eq!(fs::read(replaced).unwrap(), bytes, "the damaged file is kept");
}

/// A disk that takes a second for each commit, and then waits for its test.
struct SlowDisk {
    began: UnboundedSender<()>,
    go_on: mpsc::Receiver<()>,
}

fn slow_disk() -> (SlowDisk, UnboundedReceiver<()>, mpsc::Sender<()>) {
    let ((began, has_begun), (release, go_on)) = (unbounded_channel(), mpsc::channel());
    (SlowDisk { began, go_on }, has_begun, release)
}

impl Store for SlowDisk {
    fn load(&mut self, _: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        let _ = self.began.send(());
        thread::sleep(Duration::from_secs(1));
        // After its test it does not wait.
        let _ = self.go_on.recv();
        Ok(())
    }
}

/// Row G26: while a disk is slow, only the sends of kept messages wait for it. Live messages and
/// other calls go on.
#[tokio::test]
async fn a_slow_disk_holds_up_only_what_it_keeps() {
    let (disk, mut has_begun, release) = slow_disk();
    let live = Log::default();
    let server = Server::start(hub(disk, &live)).await;
    let client = live_client(&server).await;
    // The commit of the epoch.
    within(has_begun.recv()).await.unwrap();
    release.send(()).unwrap();
    let kept: Vec<_> = (0..10)
        .map(|n| {
            let hub = server.hub.clone();
            tokio::spawn(async move { hub.send_to("box-7", &order(n)).await })
        })
        .collect();
    within(has_begun.recv()).await.unwrap();
    let (box_7, orders) = box_7(&server).await;
    for n in 0..100 {
        within(client.send(&Live { n })).await.unwrap();
        assert_eq!(live.next().await, n);
    }
    assert_eq!(server.hub.waiting("box-8").len(), 0);
    assert_eq!(server.hub.state::<Config>("box-7").map(|state| state.value.n), None);
    assert!(server.hub.connection("box-7").is_some());
    assert!(kept.iter().all(|sent| !sent.is_finished()), "the disk has not kept it");
    assert_eq!(orders.try_next(), None, "what is not durable is not sent");
    drop(release);
    for sent in kept {
        within(sent).await.unwrap().unwrap();
    }
    let mut handled: Vec<u32> = Vec::new();
    for _ in 0..10 {
        handled.push(orders.next().await);
    }
    handled.sort_unstable();
    assert_eq!(handled, (0..10).collect::<Vec<_>>());
    box_7.close();
    client.close();
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Config {
    n: u32,
}
