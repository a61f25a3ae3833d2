// Package opcua owns the link to the PLC: one supervised OPC UA session, the certificates on both of
// its ends, the check of every configured tag at connect, the trigger, and the order in which a
// result is written.
//
// It refuses to guess. A tag that is missing, of the wrong type or of doubtful quality ends the
// session; a value that is not known is never taken for FALSE or 0. It refuses to judge, too: what a
// gap in the counter means, and what a part is worth, is decided by the line.
//
// The connection is never repaired, only replaced. The library's own reconnect can end in a state
// that reads well and hears nothing, so each connection gets a fresh client, and any doubt (a lost
// connection, three reads without an answer, a write that was not confirmed) ends it. A new session
// begins by reading what the PLC was told last and by driving the outputs safe.
package opcua
