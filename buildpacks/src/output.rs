//! How a build speaks to the person who pushed: Heroku's headings, indents and warnings.

/// Where the output of a build goes: a log file, a push, a test's buffer.
///
/// Writing is quick and can't fail for the writer: an implementation that loses its reader
/// keeps what it can and stays silent, so that nobody's closed terminal ends a build.
pub trait Output: Send {
    /// Takes bytes as they come: lines may be cut anywhere, colours are left in.
    fn write(&mut self, bytes: &[u8]);
}

/// Keeps everything: for tests, and for output that is looked at afterwards.
impl Output for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The lines that the platform itself says in a build.
pub trait Speak: Output {
    /// A step of the build: `-----> Compressing...`
    fn heading(&mut self, text: &str) {
        self.write(format!("-----> {text}\n").as_bytes());
    }

    /// What belongs to the last heading, indented by seven columns.
    fn detail(&mut self, text: &str) {
        for line in text.lines() {
            self.write(format!("       {line}\n").as_bytes());
        }
    }

    /// A warning or an error, marked as Heroku marks them: ` !     text`.
    fn warning(&mut self, text: &str) {
        for line in text.lines() {
            self.write(format!(" !     {line}\n").as_bytes());
        }
    }
}

impl<O: Output + ?Sized> Speak for O {}

/// An address without what may be secret in it: user and password, and the query.
pub fn plain_address(url: &str) -> String {
    let (address, reference) = match url.split_once('#') {
        Some((address, reference)) => (address, format!("#{reference}")),
        None => (url, String::new()),
    };
    let address = address.split('?').next().unwrap_or(address);
    let Some((scheme, rest)) = address.split_once("://") else { return format!("{address}{reference}") };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}{path}{reference}")
}

/// A size as Heroku's build output gives it: `12.3M`, one decimal, binary units.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["K", "M", "G", "T"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let text = format!("{value:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_herokus() {
        let mut out = Vec::new();
        out.heading("Compressing...");
        out.detail("Done: 12.3M\nand more");
        out.warning("Push rejected, failed to compile Ruby app.");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "-----> Compressing...\n       Done: 12.3M\n       and more\n \
             !     Push rejected, failed to compile Ruby app.\n"
        );
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (url, plain) in [
            ("https://user:token@x.example/a.git#v1", "https://x.example/a.git#v1"),
            ("https://token@x.example:8080?a=b@c/d", "https://x.example:8080"),
            ("https://x.example/@scope/a.tgz?token=1#v@1", "https://x.example/@scope/a.tgz#v@1"),
            ("https://a@b@x.example/", "https://x.example/"),
            ("heroku/ruby", "heroku/ruby"),
        ] {
            assert_eq!(plain_address(url), plain);
        }
    }

    #[test]
    fn sizes_have_one_decimal_unless_whole() {
        assert_eq!(human_size(0), "0B");
        assert_eq!(human_size(1023), "1023B");
        assert_eq!(human_size(1024), "1K");
        assert_eq!(human_size(12_897_485), "12.3M");
        assert_eq!(human_size(1 << 30), "1G");
    }
}
