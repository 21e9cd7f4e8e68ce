//! Addresses of Redis: checked, and completed with user and password. No text of them is ever repeated in a problem.

use super::address::BadAddress;
use super::context::Placed;
use super::ledger::RedisUrl;
use super::secret::Secret;
use super::section::Section;

type Login<'a> = (Option<&'a Placed<Secret>>, Option<&'a Placed<Secret>>);

const FORM: &str = "write it like \"redis://127.0.0.1:6379\", \"rediss://redis.example.com:6380/0\" or \"redis+unix:///run/redis.sock\"";

const TWICE: (&str, &str) = (
    "has a user or a password, and `username` or `password` are given too",
    "give them in one place",
);

/// All addresses, or `None` with problems.
pub(super) fn read_all(
    s: &Section<'_>,
    given: &[Placed<Secret>],
    written: &[&str],
    login: Login<'_>,
    cluster: bool,
) -> Option<Vec<RedisUrl>> {
    let mut urls = Vec::with_capacity(given.len());
    for (at, url) in given.iter().enumerate() {
        match read(url.value.expose(), login, cluster) {
            Ok(read) => urls.push(RedisUrl {
                shown: mask(written.get(at).copied().unwrap_or_default(), &read.shown),
                ..read
            }),
            Err((what, advice)) => s.problem(&url.place, what, advice),
        }
    }
    if let Some(place) = login.0.filter(|_| login.1.is_none()).map(|user| &user.place) {
        s.problem(place, "comes without `password`", "give the password too");
        return None;
    }
    if let [first, rest @ ..] = &urls[..]
        && rest.iter().any(|url| url.tls != first.tls)
        && let Some(place) = given.first().map(|url| &url.place)
    {
        s.problem(
            place,
            "some nodes are reached over TLS and some are not",
            "use the same scheme for all",
        );
        return None;
    }
    (urls.len() == given.len() && !urls.is_empty()).then_some(urls)
}

/// What may be shown of an address. Of one that refers to something, only what is written: a password may have been put where a host belongs.
fn mask(written: &str, masked: &str) -> String {
    if written.starts_with("file:") {
        return written.to_owned();
    }
    if !written.contains("${") {
        return masked.to_owned();
    }
    let written = written.split('?').next().unwrap_or_default();
    match (written.split_once("://"), written.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => written.to_owned(),
    }
}

fn bad<T>(what: &str, advice: &str) -> Result<T, BadAddress> {
    Err((what.to_owned(), advice.to_owned()))
}

fn read(text: &str, login: Login<'_>, cluster: bool) -> Result<RedisUrl, BadAddress> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return bad("is not the address of a Redis", FORM);
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return bad("has a space or a line break", FORM);
    }
    if rest.contains('#') {
        return bad(
            "has a fragment (`#...`)",
            "certificates are always checked: name those to trust with `ca`; in a password write `#` as %23",
        );
    }
    match scheme {
        "redis" | "valkey" => tcp("redis", rest, login, cluster),
        "rediss" | "valkeys" => tcp("rediss", rest, login, cluster),
        "unix" | "redis+unix" | "valkey+unix" => socket(rest, login, cluster),
        _ if scheme.contains("sentinel") => bad("names Sentinels, which are not in this version", FORM),
        _ => bad("does not begin with redis://, rediss:// or redis+unix://", FORM),
    }
}

fn tcp(scheme: &str, rest: &str, login: Login<'_>, cluster: bool) -> Result<RedisUrl, BadAddress> {
    if rest.contains('?') {
        return bad(
            "has a query (`?...`)",
            "leave it out; in a password write `?` as %3F",
        );
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (said, host) = match authority.rsplit_once('@') {
        Some((said, host)) => (Some(said), host),
        None => (None, authority),
    };
    let Ok(parsed) = host.parse::<http::uri::Authority>() else {
        return bad(
            "names no host",
            "write / : @ ? and % in a password as %2F %3A %40 %3F %25, or use `password`",
        );
    };
    let port_said = parsed.host().len() < host.len();
    if parsed.host().is_empty() || (port_said && parsed.port_u16().is_none_or(|port| port == 0)) {
        return bad("names no host or no port", FORM);
    }
    let database = path.is_empty() || (path.len() <= 5 && path.bytes().all(|b| b.is_ascii_digit()));
    if !database {
        return bad(
            "has a path that is no database",
            "write the database's number: redis://host:6379/0",
        );
    }
    if cluster && !path.is_empty() && path.bytes().any(|b| b != b'0') {
        return bad(
            "names a database",
            "a cluster has the database 0 only: leave it out",
        );
    }
    let user = credentials(said, login)?;
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    let hidden = if user.is_empty() { "" } else { "***@" };
    Ok(RedisUrl {
        url: Secret::new(&format!("{scheme}://{user}{host}{path}")),
        shown: format!("{scheme}://{hidden}{host}{path}"),
        tls: scheme == "rediss",
    })
}

/// `user:password@`, escaped, or nothing.
fn credentials(said: Option<&str>, login: Login<'_>) -> Result<String, BadAddress> {
    match (said, login) {
        (Some(_), (Some(_), _) | (_, Some(_))) => bad(TWICE.0, TWICE.1),
        (Some(said), _) => Ok(format!("{said}@")),
        (None, (user, Some(password))) => {
            let user = user.map(|user| escape(user.value.expose())).unwrap_or_default();
            Ok(format!("{user}:{}@", escape(password.value.expose())))
        }
        (None, _) => Ok(String::new()),
    }
}

fn socket(rest: &str, login: Login<'_>, cluster: bool) -> Result<RedisUrl, BadAddress> {
    if cluster {
        return bad(
            "is a socket",
            "the nodes of a cluster are reached over TCP: redis://host:port",
        );
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') || path.len() < 2 {
        return bad(
            "names no file",
            "write the whole path after three slashes: redis+unix:///run/redis.sock",
        );
    }
    let mut query: Vec<String> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let known = |part: &String| {
        ["db=", "user=", "pass="]
            .iter()
            .any(|name| part.starts_with(name))
    };
    if !query.iter().all(known) {
        return bad("has a query with other things than db, user and pass", FORM);
    }
    let said = query.iter().any(|part| !part.starts_with("db="));
    if said && (login.0.is_some() || login.1.is_some()) {
        return bad(TWICE.0, TWICE.1);
    }
    for (name, value) in [("user", login.0), ("pass", login.1)] {
        query.extend(value.map(|value| format!("{name}={}", escape(value.value.expose()))));
    }
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    let hidden = if query.is_empty() { "" } else { "?***" };
    Ok(RedisUrl {
        url: Secret::new(&format!("redis+unix://{path}{query}")),
        shown: format!("redis+unix://{path}{hidden}"),
        tls: false,
    })
}

/// Everything but letters, digits and `-._~` as `%XX` (RFC 3986).
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
