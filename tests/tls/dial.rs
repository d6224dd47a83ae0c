//! Dials a URL once, trusting whom the platform trusts, and says in one line what came of it: whom that is, is decided in
//! the environment, which a test cannot change for itself.
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
