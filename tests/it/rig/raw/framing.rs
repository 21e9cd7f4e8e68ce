//! Reading one HTTP/1 answer by its framing, strictly: a test should notice a sloppy answer.

use super::{RawClient, RawResponse};

/// Longest head that is read, in bytes.
const HEAD_MAX: usize = 256 * 1024;

impl RawClient {
    pub(super) async fn read_response(&mut self, to_head: bool) -> Result<RawResponse, String> {
        let head = self.read_until(b"\r\n\r\n").await?;
        let head = String::from_utf8(head).map_err(|e| format!("head is not text: {e}"))?;
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let first = lines.next().unwrap_or_default();
        let (status, reason) = status_line(first)?;
        let headers = lines.map(header_line).collect::<Result<Vec<_>, _>>()?;
        let mut response = RawResponse {
            status,
            reason,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        if !to_head && status >= 200 && status != 204 && status != 304 {
            self.read_body(&mut response).await?;
        }
        Ok(response)
    }

    async fn read_body(&mut self, response: &mut RawResponse) -> Result<(), String> {
        let lengths: Vec<_> = values(response, "content-length");
        let encodings: Vec<_> = values(response, "transfer-encoding");
        match (&lengths[..], &encodings[..]) {
            ([], []) => {
                while self.fill().await.map_err(|e| format!("body by close: {e}"))? > 0 {}
                response.body = self.pending.split().to_vec();
            }
            ([length], []) => {
                let length = length
                    .parse()
                    .map_err(|e| format!("content-length {length:?}: {e}"))?;
                response.body = self.take(length).await?;
            }
            ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") => {
                self.read_chunks(response).await?;
            }
            _ => return Err(format!("ambiguous framing: {:?}", response.headers)),
        }
        Ok(())
    }

    async fn read_chunks(&mut self, response: &mut RawResponse) -> Result<(), String> {
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16).map_err(|e| format!("chunk size {line:?}: {e}"))?;
            if size == 0 {
                break;
            }
            let chunk = self.take(size).await?;
            response.body.extend_from_slice(&chunk);
            let gap = self.line().await?;
            if !gap.is_empty() {
                return Err(format!("{gap:?} after a chunk"));
            }
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            response.trailers.push(header_line(&line)?);
        }
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = self.read_until(b"\r\n").await?;
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|e| format!("not text: {e}"))
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.pending.len() < count {
            self.more(&format!("{count} bytes of body")).await?;
        }
        Ok(self.pending.split_to(count).to_vec())
    }

    async fn read_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, String> {
        loop {
            if let Some(at) = self.pending.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.pending.split_to(at + mark.len()).to_vec());
            }
            if self.pending.len() > HEAD_MAX {
                return Err(format!("no {mark:?} within {HEAD_MAX} bytes"));
            }
            self.more(&format!("{mark:?}")).await?;
        }
    }

    async fn more(&mut self, wanted: &str) -> Result<(), String> {
        match self.fill().await {
            Ok(0) => Err(format!("closed before {wanted}; had {:?}", self.pending)),
            Ok(_) => Ok(()),
            Err(e) => Err(format!("{e} before {wanted}; had {:?}", self.pending)),
        }
    }
}

fn values(response: &RawResponse, name: &str) -> Vec<String> {
    response
        .headers
        .iter()
        .filter(|(n, _)| n == name)
        .map(|(_, value)| value.clone())
        .collect()
}

fn status_line(line: &str) -> Result<(u16, String), String> {
    let wrong = || format!("status line {line:?}");
    let (version, rest) = line.split_once(' ').ok_or_else(wrong)?;
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(wrong());
    }
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok((status.parse().map_err(|_| wrong())?, reason.to_owned()))
}

fn header_line(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("header line {line:?}"))?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace()) {
        return Err(format!("header name {name:?}"));
    }
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}
