//! An authority on the network, and plain HTTP by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use authority::{Addresses, Service};
use tokio::sync::oneshot;

use crate::fixtures::World;

/// Any free port of this machine.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// A running service; it stops when this is dropped.
pub(crate) struct Served {
    pub(crate) at: Addresses,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn new(world: &World) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (authority, clock) = (Arc::clone(&world.authority), world.clock.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let any = ANY.parse().unwrap();
                let service = Service::bind(authority, clock, Addresses { cmp: any, http: any }).await.unwrap();
                tell.send(service.addresses().unwrap()).unwrap();
                service.run(async { drop(stopped.await) }).await;
            });
        });
        Self { at: told.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join).transpose().expect("the service ends well");
    }
}

/// One HTTP request; status and body of its answer.
pub(crate) fn http(at: SocketAddr, method: &str, path: &str, media_type: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server may have answered and closed before it has read everything.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end + 4))
}
