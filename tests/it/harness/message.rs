//! A second, strict reading of HTTP/1: it shares no code with the gateway, so the two can disagree.

/// Fields in their order, with their spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, Vec<u8>)>);

/// A request as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestMessage {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// A response as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseMessage {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// The 1xx responses that came before this one.
    pub(crate) interim: Vec<Self>,
}

/// How long the body of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Exact(u64),
    Chunked,
    UntilClose,
}

impl Fields {
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_owned(), value.to_vec()));
    }

    /// The one value of `name`; two lines of it fail the test.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands more than once: {self:?}");
        all.first().copied()
    }

    /// Every value of `name`, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| std::str::from_utf8(value).expect("a field value in UTF-8"))
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ResponseMessage {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

impl RequestMessage {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

/// Reads a request head that ends with the empty line.
pub(crate) fn request_head(head: &[u8]) -> Result<(RequestMessage, Length), String> {
    let (line, fields) = split_head(head)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let &[method, target, version] = parts.as_slice() else {
        return Err(format!("request line {line:?}"));
    };
    if !is_token(method.as_bytes()) {
        return Err(format!("method {method:?}"));
    }
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("target {target:?}"));
    }
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(format!("version {version:?}"));
    }
    let hosts = fields.all("host").len();
    if version == "HTTP/1.1" && hosts != 1 {
        return Err(format!("{hosts} Host fields"));
    }
    let length = match declared_length(&fields)? {
        Some(Length::Chunked) if version == "HTTP/1.0" => {
            return Err("chunked in HTTP/1.0".to_owned());
        }
        Some(length) => length,
        None => Length::Exact(0),
    };
    let message = RequestMessage {
        method: method.to_owned(),
        target: target.to_owned(),
        version: version.to_owned(),
        fields,
        ..RequestMessage::default()
    };
    Ok((message, length))
}

/// Reads a response head that ends with the empty line; `method` is what was asked.
pub(crate) fn response_head(
    head: &[u8],
    method: &str,
) -> Result<(ResponseMessage, Length), String> {
    let (line, fields) = split_head(head)?;
    let mut parts = line.splitn(3, ' ');
    let version = parts.next().unwrap_or_default();
    let status = parts.next().unwrap_or_default();
    let Some(reason) = parts.next() else {
        return Err(format!("status line without the second space: {line:?}"));
    };
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(format!("version {version:?}"));
    }
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("status {status:?}"));
    }
    let status: u16 = status.parse().map_err(|_| format!("status {status:?}"))?;
    let declared = declared_length(&fields)?;
    let length = if status < 200 || status == 204 {
        if declared.is_some() {
            return Err(format!("a {status} with framing fields: {fields:?}"));
        }
        Length::Exact(0)
    } else if method == "HEAD" || status == 304 || (method == "CONNECT" && status < 300) {
        Length::Exact(0)
    } else {
        declared.unwrap_or(Length::UntilClose)
    };
    let message = ResponseMessage {
        version: version.to_owned(),
        status,
        reason: reason.to_owned(),
        fields,
        ..ResponseMessage::default()
    };
    Ok((message, length))
}

/// Reads the lines of a trailer section, each without its line end.
pub(crate) fn trailers(lines: &[Vec<u8>]) -> Result<Fields, String> {
    let mut fields = Fields::default();
    for line in lines {
        let (name, value) = field(line)?;
        fields.push(name, value);
    }
    Ok(fields)
}

/// Reads the size of a chunk from its line; the gateway must not send extensions.
pub(crate) fn chunk_size(line: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(line);
    if line.is_empty() || line.len() > 16 || !line.iter().all(u8::is_ascii_hexdigit) {
        return Err(format!("chunk size {text:?}"));
    }
    u64::from_str_radix(&text, 16).map_err(|_| format!("chunk size {text:?}"))
}

fn split_head(head: &[u8]) -> Result<(String, Fields), String> {
    let head = head
        .strip_suffix(b"\r\n\r\n")
        .ok_or("a head without the empty line")?;
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    let (first, others) = lines.split_first().ok_or("an empty head")?;
    let first = std::str::from_utf8(first)
        .map_err(|_| "a start line outside ASCII")?
        .to_owned();
    if first.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("a control byte in {first:?}"));
    }
    let mut fields = Fields::default();
    for line in others {
        let (name, value) = field(line)?;
        fields.push(name, value);
    }
    Ok((first, fields))
}

fn field(line: &[u8]) -> Result<(&str, &[u8]), String> {
    let shown = String::from_utf8_lossy(line);
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or_else(|| format!("no colon in {shown:?}"))?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !is_token(name) {
        return Err(format!("field name in {shown:?}"));
    }
    if value
        .iter()
        .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
    {
        return Err(format!("field value in {shown:?}"));
    }
    let name = std::str::from_utf8(name).map_err(|_| format!("field name in {shown:?}"))?;
    Ok((name, value))
}

fn declared_length(fields: &Fields) -> Result<Option<Length>, String> {
    let lengths = fields.all("content-length");
    let codings = fields.all("transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([length], []) => {
            if length.is_empty()
                || length.len() > 19
                || !length.bytes().all(|byte| byte.is_ascii_digit())
            {
                return Err(format!("Content-Length {length:?}"));
            }
            Ok(Some(Length::Exact(
                length
                    .parse()
                    .map_err(|_| format!("Content-Length {length:?}"))?,
            )))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Length::Chunked)),
        _ => Err(format!(
            "Content-Length {lengths:?} with Transfer-Encoding {codings:?}"
        )),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strict_reader_refuses_what_it_must() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n",
        ] {
            assert!(request_head(head.as_bytes()).is_err(), "{head:?}");
        }
    }

    #[test]
    fn the_strict_reader_reads_what_is_right() {
        let head = b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nX-Y:  z \r\n\r\n";
        let (request, length) = request_head(head).unwrap();
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("POST", "/a?b")
        );
        assert_eq!(request.header("x-y"), Some("z"));
        assert_eq!(length, Length::Exact(12));
    }

    #[test]
    fn chunk_sizes_are_hex_digits_alone() {
        assert_eq!(chunk_size(b"1f"), Ok(31));
        for line in [&b""[..], b"0x1", b"1;a=b", b" 1", b"00000000000000001"] {
            assert!(chunk_size(line).is_err(), "{line:?}");
        }
    }
}
