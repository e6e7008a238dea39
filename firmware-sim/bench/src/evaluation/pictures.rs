use std::fs;
use std::path::{Path, PathBuf};

use super::EvaluationError;

/// A picture of a palm in a folder, named `subject_session_n.png`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Whose palm: everything before session and number, so it may have `_` in it. Two hands of a person are two subjects.
    pub subject: String,
    /// In near-infrared light.
    pub near_infrared: PathBuf,
    /// In red light.
    pub red: Option<PathBuf>,
}

impl Picture {
    /// The pictures in a folder, in the order of their names. With a suffix, `subject_session_n` + suffix + `.png` is the picture
    /// in red light, and every picture must have one.
    ///
    /// # Errors
    /// If there are none, or one has another name or lacks its picture in red light.
    pub fn list(folder: &Path, red_suffix: Option<&str>) -> Result<Vec<Self>, EvaluationError> {
        let io = |source| EvaluationError::Io { path: folder.to_owned(), source };
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
                files.push(path);
            }
        }
        files.sort();
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut pictures = Vec::new();
        for path in &files {
            let name = stem(path);
            if red_suffix.is_some_and(|suffix| name.ends_with(suffix)) {
                continue;
            }
            let [Some(_number), Some(_session), Some(subject)] = split(&name) else {
                return Err(EvaluationError::Name(path.clone()));
            };
            let red = match red_suffix {
                None => None,
                Some(suffix) => {
                    let wanted = format!("{name}{suffix}");
                    let found = files.iter().find(|path| stem(path) == wanted);
                    Some(found.ok_or_else(|| EvaluationError::NoRed(path.clone()))?.clone())
                }
            };
            pictures.push(Self { subject: subject.to_owned(), near_infrared: path.clone(), red });
        }
        if pictures.is_empty() { Err(EvaluationError::NoPictures(folder.to_owned())) } else { Ok(pictures) }
    }

    /// The picture's name without folder and ending, as it stands in score files.
    #[must_use]
    pub fn label(&self) -> String {
        self.near_infrared.file_stem().map(|stem| stem.to_string_lossy().replace(' ', "-")).unwrap_or_default()
    }
}

/// Number, session and subject of a file's name. None of them is empty or has a blank in it, which would be another column.
fn split(name: &str) -> [Option<&str>; 3] {
    let mut parts = name.rsplitn(3, '_');
    [(); 3].map(|()| parts.next().filter(|part| !part.is_empty() && !part.contains(char::is_whitespace)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), []).unwrap();
        }
        folder
    }

    #[test]
    fn pictures_are_found_by_their_names() {
        let files = ["p_1_L_2_1.png", "p_1_L_2_1-660.png", "0417_1_3.PNG", "0417_1_3-660.png", "notes.txt"];
        let folder = folder(&files);
        let pictures = Picture::list(folder.path(), Some("-660")).unwrap();
        let found: Vec<_> = pictures.iter().map(|picture| (picture.subject.as_str(), picture.label())).collect();
        assert_eq!(found, [("0417", "0417_1_3".to_owned()), ("p_1_L", "p_1_L_2_1".to_owned())]);
        assert!(pictures.iter().all(|picture| picture.red.as_ref().is_some_and(|red| red.exists())));
    }

    #[test]
    fn what_is_amiss_with_a_folder_is_said() {
        let list = |files: &[&str], suffix| Picture::list(folder(files).path(), suffix);
        assert!(matches!(list(&["notes.txt"], None), Err(EvaluationError::NoPictures(_))));
        for name in ["0417_1.png", "_1_1.png", "0417__1.png", "a b_1_1.png"] {
            assert!(matches!(list(&[name], None), Err(EvaluationError::Name(_))), "{name}");
        }
        assert!(matches!(list(&["a_1_1.png"], Some("_660")), Err(EvaluationError::NoRed(_))));
        assert!(matches!(Picture::list(Path::new("/nowhere"), None), Err(EvaluationError::Io { .. })));
    }
}
