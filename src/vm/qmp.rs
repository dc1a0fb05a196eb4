//! QEMU's control channel (QMP): one JSON object a line, questions and answers.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// A control channel that is ready for commands.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Takes over a new connection: reads QEMU's greeting and leaves its negotiation mode.
    pub async fn negotiate(stream: UnixStream) -> io::Result<Qmp> {
        let mut qmp = Qmp {
            stream: BufReader::new(stream),
        };
        let greeting = qmp.read().await?;
        if greeting.get("QMP").is_none() {
            return Err(io::Error::other(format!("not QEMU's greeting: {greeting}")));
        }
        qmp.execute("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Presses the power button: the guest is asked, through ACPI, to shut down.
    pub async fn power_button(&mut self) -> io::Result<()> {
        self.execute("system_powerdown").await
    }

    /// Stops the processors; what the guest has written is in its disks' files afterwards.
    pub async fn pause(&mut self) -> io::Result<()> {
        self.execute("stop").await
    }

    /// Starts the processors of a machine that was paused, or started with `-S`.
    pub async fn resume(&mut self) -> io::Result<()> {
        self.execute("cont").await
    }

    async fn execute(&mut self, command: &str) -> io::Result<()> {
        self.ask(command, json!({})).await
    }

    /// Has QEMU do a command with arguments.
    pub async fn ask(&mut self, command: &str, arguments: Value) -> io::Result<()> {
        let mut asked = json!({ "execute": command });
        if arguments != json!({}) {
            asked["arguments"] = arguments;
        }
        let line = format!("{asked}\n");
        self.stream.get_mut().write_all(line.as_bytes()).await?;
        loop {
            let answer = self.read().await?;
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("QEMU refuses {command}: {error}")));
            }
            // Events come in between, whenever they happen.
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    async fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_told_from_events() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let qemu = tokio::spawn(async move {
            let mut qemu = BufReader::new(theirs);
            let mut asked = Vec::new();
            qemu.write_all(b"{\"QMP\": {}}\r\n").await?;
            for answer in [
                "{\"return\": {}}\r\n",
                "{\"event\": \"POWERDOWN\"}\r\n{\"return\": {}}\r\n",
                "{\"error\": {\"class\": \"GenericError\"}}\r\n",
            ] {
                let mut line = String::new();
                qemu.read_line(&mut line).await?;
                asked.push(line.trim().to_owned());
                qemu.write_all(answer.as_bytes()).await?;
            }
            Ok::<_, io::Error>(asked)
        });
        let mut qmp = Qmp::negotiate(ours).await.expect("a channel");
        qmp.power_button().await.expect("pressed");
        let error = qmp.power_button().await.expect_err("refused");
        assert!(error.to_string().contains("GenericError"), "{error}");
        assert_eq!(
            qemu.await.expect("no panic").expect("asked"),
            [
                r#"{"execute":"qmp_capabilities"}"#,
                r#"{"execute":"system_powerdown"}"#,
                r#"{"execute":"system_powerdown"}"#,
            ]
        );
    }
}
