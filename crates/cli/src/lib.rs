//! The commands, messages and views of both programs
