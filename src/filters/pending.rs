//! Stand-ins for `crate::http::normalise_path` and `crate::http::parse_authority` until they are merged.

pub(super) fn normalise_path(raw: &[u8], out: &mut String) -> Result<(), ()> {
    let text = std::str::from_utf8(raw).map_err(|_| ())?;
    if !text.starts_with('/')
        || text.contains(['?', '#', '\\', ' '])
        || !text.is_ascii()
        || text.split('/').any(|s| s == "..")
    {
        return Err(());
    }
    out.push_str(text);
    Ok(())
}

pub(super) fn parse_authority(raw: &[u8], host: &mut String) -> Result<Option<u16>, ()> {
    let text = std::str::from_utf8(raw).map_err(|_| ())?;
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().map_err(|_| ())?)),
        None => (text, None),
    };
    if name.is_empty() || name.contains(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)))
    {
        return Err(());
    }
    host.clear();
    host.push_str(&name.to_ascii_lowercase());
    Ok(port)
}
