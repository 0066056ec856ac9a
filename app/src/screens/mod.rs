//! The screens of the window and the parts they are made of.
