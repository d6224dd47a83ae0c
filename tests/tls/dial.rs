//! Dials a URL once with the platform's trusted roots, and prints the result in one line. The
//! environment decides which roots these are, and a test cannot change it for its own process. With
//! `from-env` after the URL, the environment has the proxies too.
use wsx::{CancellationToken, Client, client::Proxy};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("{}", dial(&arguments).await.unwrap_or_else(|error| wsx_tests::chain(&*error)));
}

async fn dial(arguments: &[String]) -> Result<String, Box<dyn std::error::Error>> {
    let (url, from_env) = match arguments {
        [url] => (url, false),
        [url, option] if option == "from-env" => (url, true),
        _ => panic!("usage: dial URL [from-env]"),
    };
    let client = Client::builder(url).reconnect(false);
    let client = if from_env { client.proxy(Proxy::from_env()?) } else { client };
    client.build()?.start(CancellationToken::new()).await?;
    Ok("connected".to_owned())
}
