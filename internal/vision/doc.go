// Package vision owns linectl's own OPC UA server, for PLCs that call instead of being read: a method
// brings a part, and its verdict comes back as the method's result, from a second method, or from nodes
// to read. Beside linectl's own station object stands a view by OPC 40100-1 (Machine Vision).
//
// It lets in only clients whose certificate is pinned, and only signed and encrypted. To the line it is
// one more PLC: each accepted call ends in exactly one verdict, and what is not decided in time is a
// reject.
package vision
