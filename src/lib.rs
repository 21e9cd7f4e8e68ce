//! Faregate: prepaid credits enforced in front of a model server.
