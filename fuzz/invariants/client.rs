//! A client over HTTP/1 that reads what a gateway answers strictly.

use super::strict::{self, Length};

/// Judges everything that came on one connection; its end may cut the last response short.
///
/// # Errors
/// What is no sequence of responses.
pub(super) fn judge(got: &[u8]) -> Result<(), String> {
    let mut rest = got;
    while !rest.is_empty() {
        let Some(end) = find(rest, b"\r\n\r\n") else {
            let start = &b"HTTP/1.1 "[..rest.len().min(9)];
            return if rest.starts_with(start) {
                Ok(())
            } else {
                Err(format!("{} behind a response", rest.escape_ascii()))
            };
        };
        let (head, behind) = rest.split_at(end + 4);
        let (response, length) = strict::response_head(head, "GET")?;
        rest = match length {
            // From here on the bytes are a tunnel's.
            _ if response.status == 101 => return Ok(()),
            Length::UntilClose => return Ok(()),
            Length::Exact(length) => {
                let length = usize::try_from(length).map_err(|error| error.to_string())?;
                behind.get(length..).unwrap_or_default()
            }
            Length::Chunked => behind_chunks(behind)?,
        };
    }
    Ok(())
}

/// What follows a chunked body; nothing when it is not complete.
fn behind_chunks(mut rest: &[u8]) -> Result<&[u8], String> {
    loop {
        let Some((line, behind)) = line(rest) else {
            return Ok(b"");
        };
        let size = strict::chunk_size(line)?;
        let size = usize::try_from(size).map_err(|error| error.to_string())?;
        if size == 0 {
            rest = behind;
            break;
        }
        match behind.get(size..) {
            Some([b'\r', b'\n', behind @ ..]) => rest = behind,
            Some([_, _, ..]) => return Err("a chunk that does not end where it said".to_owned()),
            Some(_) | None => return Ok(b""),
        }
    }
    let mut trailers = Vec::new();
    while let Some((line, behind)) = line(rest) {
        if line.is_empty() {
            strict::trailers(&trailers)?;
            return Ok(behind);
        }
        trailers.push(line.to_vec());
        rest = behind;
    }
    Ok(b"")
}

/// A line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = find(bytes, b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
