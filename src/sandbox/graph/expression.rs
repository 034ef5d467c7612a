//! The expression of fields: names, what is said of them in brackets, and what is asked for below them in braces.

/// How deep an expression may nest.
const DEEPEST: usize = 8;

/// One field that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its name.
    pub(super) name: String,
    /// What stands behind it, as `limit` and `25` of `media.limit(25)`.
    pub(super) said: Vec<(String, String)>,
    /// The fields below it; `None` where it has no braces.
    pub(super) below: Option<Vec<Asked>>,
}

impl Asked {
    /// What is said of it under this name.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.said.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The fields below it.
    pub(super) fn below(&self) -> &[Asked] {
        self.below.as_deref().unwrap_or_default()
    }
}

/// Reads an expression. The error says what was expected, and at which character.
pub(super) fn parse(text: &str) -> Result<Vec<Asked>, String> {
    let mut reader = Reader { text, at: 0 };
    let fields = reader.fields(0)?;
    if reader.at < text.len() { Err(reader.expected("the end")) } else { Ok(fields) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn fields(&mut self, depth: usize) -> Result<Vec<Asked>, String> {
        if depth > DEEPEST {
            return Err(self.expected("less nesting"));
        }
        let mut fields = vec![self.field(depth)?];
        while self.take(',') {
            fields.push(self.field(depth)?);
        }
        Ok(fields)
    }

    fn field(&mut self, depth: usize) -> Result<Asked, String> {
        let mut field = Asked { name: self.name()?, ..Asked::default() };
        while self.take('.') {
            let name = self.name()?;
            if !self.take('(') {
                return Err(self.expected("an opening bracket"));
            }
            let value = self.until(')');
            if !self.take(')') {
                return Err(self.expected("a closing bracket"));
            }
            field.said.push((name, value));
        }
        if self.take('{') {
            field.below = Some(self.fields(depth + 1)?);
            if !self.take('}') {
                return Err(self.expected("a closing brace"));
            }
        }
        Ok(field)
    }

    fn name(&mut self) -> Result<String, String> {
        let rest = &self.text[self.at..];
        let end =
            rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected("a name"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn until(&mut self, end: char) -> String {
        let rest = &self.text[self.at..];
        let length = rest.find(end).unwrap_or(rest.len());
        self.at += length;
        rest[..length].to_owned()
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.text[self.at..].starts_with(sign);
        self.at += if found { sign.len_utf8() } else { 0 };
        found
    }

    fn expected(&self, what: &str) -> String {
        format!("Syntax error \"Expected {what}\" at character {}", self.text[..self.at].chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_brackets_and_braces_are_read_as_they_stand() {
        let read = parse("id,business_discovery.username(a.b_1){id,media.limit(25).after(QV=){shortcode}}").unwrap();
        assert_eq!((read[0].name.as_str(), &read[0].below), ("id", &None));
        let discovery = &read[1];
        assert_eq!(discovery.said("username"), Some("a.b_1"));
        let media = &discovery.below()[1];
        assert_eq!((media.said("limit"), media.said("after"), media.said("before")), (Some("25"), Some("QV="), None));
        assert_eq!(media.below()[0].name, "shortcode");
    }

    #[test]
    fn what_is_no_expression_says_where() {
        for (text, word) in [
            ("", "a name"),
            ("a,", "a name"),
            ("a{b", "closing brace"),
            ("a.b", "opening bracket"),
            ("a.b(c", "closing bracket"),
            ("a}", "the end"),
            ("A", "a name"),
            ("é", "a name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word) && error.contains("at character"), "{text}: {error}");
        }
        assert!(parse(&format!("{}a", "a{".repeat(100_000))).unwrap_err().contains("nesting"));
    }
}
