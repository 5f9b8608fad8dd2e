//! The server of `far.example`, which knows nobody: what a relay has taken for somebody there comes back.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// Listens until the test is over, and answers with the port.
pub(crate) fn far() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| drop(answer(stream)));
        }
    });
    port
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    stream.write_all(b"220 far.example\r\n")?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let said: &[u8] = match line.get(..4).unwrap_or_default() {
            "EHLO" | "HELO" => b"250 far.example\r\n",
            "RCPT" => b"550 5.1.1 user unknown in far.example\r\n",
            "DATA" => b"503 5.5.1 for whom?\r\n",
            "QUIT" => return stream.write_all(b"221 bye\r\n"),
            _ => b"250 ok\r\n",
        };
        stream.write_all(said)?;
        line.clear();
    }
    Ok(())
}
