//! The NATS server of the tests does what they expect of it.
use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    time::Duration,
};
use wsx_cluster_tests::NatsServer;

/// What a server says first.
fn greeting(server: &NatsServer) -> Result<String, ErrorKind> {
    let mut stream = TcpStream::connect(server.address()).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut said = [0; 4096];
    let read = stream.read(&mut said).map_err(|error| error.kind())?;
    Ok(String::from_utf8(said[..read].to_vec()).unwrap())
}

#[test]
fn a_server_can_be_killed_started_again_and_stopped() {
    let mut server = NatsServer::start_with("max_payload: 4096");
    assert!(greeting(&server).unwrap().contains("\"max_payload\":4096"));
    server.kill();
    assert_eq!(greeting(&server), Err(ErrorKind::ConnectionRefused));
    server.restart();
    assert!(greeting(&server).unwrap().contains("\"max_payload\":4096"));
    server.stop();
    assert_eq!(greeting(&server), Err(ErrorKind::WouldBlock));
    server.cont();
    assert!(greeting(&server).is_ok());
    let folder = server.folder().to_owned();
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_server_can_have_a_user_and_a_certificate() {
    let mut server = NatsServer::stopped();
    let authority = wsx_tls_tests::Authority::default();
    let issued = authority.issue(&[&server.address().ip().to_string()]);
    let tls = server.with_tls(&issued.pem, &issued.key_pem());
    server.restart_with(&(NatsServer::with_user("hub", "a \"password\"") + &tls));
    let greeting = greeting(&server).unwrap();
    assert!(greeting.contains("\"auth_required\":true") && greeting.contains("\"tls_required\":true"), "{greeting}");
}
