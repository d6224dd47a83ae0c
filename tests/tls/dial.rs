//! Dials a URL once with the platform's trusted roots, and prints the result in one line. The
//! environment decides which roots these are, and a test cannot change it for its own process.
use wsx::{CancellationToken, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("the URL is the only argument");
    let client = Client::builder(url).reconnect(false).build().unwrap();
    match client.connect(CancellationToken::new(), |_| {}).await {
        Ok(_) => println!("connected"),
        Err(error) => println!("{}", wsx_tests::chain(&error)),
    }
}
