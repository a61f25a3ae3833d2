package opcua

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/opcua/pki"
	"linectl/internal/setting"
)

// Config is the [plc] section.
type Config struct {
	// Endpoint is the address of the PLC's OPC UA server: opc.tcp://HOST:PORT.
	Endpoint string `toml:"endpoint"`
	// Profile says which tags must be configured: minimal, standard or full. Minimal cannot notice a
	// missed trigger, a late write that hits the next part, or a PLC in STOP.
	Profile Profile `toml:"profile"`
	// Trigger says how linectl learns of a part: poll (it asks), or subscription (the PLC tells, at
	// intervals that it grants and that are often much longer than those asked for).
	Trigger Source `toml:"trigger"`
	// Poll is the time between two readings of the trigger, by linectl or, with a subscription, by the PLC.
	Poll setting.Duration `toml:"poll"`
	// Stale is how long plc_heartbeat may stand still before the PLC's program counts as stopped.
	Stale setting.Duration `toml:"stale"`
	// VerifyWrites reads each result back before result_valid: for PLCs that confirm a write before it is
	// carried out. It takes one more round trip.
	VerifyWrites bool `toml:"verify_writes"`
	// SecurityPolicy is Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss, or None.
	SecurityPolicy string `toml:"security_policy"`
	// SecurityMode is SignAndEncrypt, Sign, or None.
	SecurityMode string `toml:"security_mode"`
	// ServerCertificate is the file (DER or PEM) with the certificate that the PLC must show. Where
	// neither it nor server_sha256 is set, it is plc.der in the pki folder, where
	// 'linectl plc trust' puts it.
	ServerCertificate string `toml:"server_certificate"`
	// ServerSHA256 is the SHA-256 fingerprint of that certificate, in place of the file.
	ServerSHA256 string `toml:"server_sha256"`
	// Revoked is a certificate revocation list (DER or PEM), or a folder of them and of their issuers'
	// certificates. Empty is the folder revoked in the pki folder, if there is one.
	Revoked string `toml:"revoked"`
	// Insecure must be true for security_policy and security_mode None: nothing is encrypted then, and
	// anybody on the network can pass parts.
	Insecure bool `toml:"insecure"`
	// User is the user name at the PLC; empty for an anonymous session.
	User string `toml:"user"`
	// PasswordFile is the file that holds the user's password, or credential:NAME for one that systemd
	// hands over. Everybody but its owner and group must be kept from reading it.
	PasswordFile string `toml:"password_file"`
	// UserCertificate is the certificate of the user at the PLC with its RSA key, in place of a name and
	// password: a PEM file that holds both, or credential:NAME. Everybody but its owner and group must be
	// kept from reading it.
	UserCertificate string `toml:"user_certificate"`
	// Tags names the node of each signal.
	Tags Tags `toml:"tags"`
}

// Standstill is how long, unless the config says otherwise, the heartbeat of a PLC may stand before its program counts
// as stopped.
const Standstill = 1500 * time.Millisecond

// Default is an encrypted link that polls every 5 ms.
func Default() Config {
	return Config{
		Profile:        Standard,
		Trigger:        Polling,
		Poll:           setting.Duration(5 * time.Millisecond),
		Stale:          setting.Duration(Standstill),
		SecurityPolicy: "Basic256Sha256",
		SecurityMode:   "SignAndEncrypt",
	}
}

// Profile is a preset of the signals that must be configured. Each profile asks for those of the
// one before and more.
type Profile string

// The profiles.
const (
	Minimal  Profile = "minimal"  // part_present, reject, result_valid
	Standard Profile = "standard" // and the counter, its echo, the code, both heartbeats, ready, fault
	Full     Profile = "full"     // and everything else, but what only some lines have
)

var profiles = []Profile{Minimal, Standard, Full}

// UnmarshalText reads a profile.
func (p *Profile) UnmarshalText(text []byte) error {
	if !slices.Contains(profiles, Profile(text)) {
		return fmt.Errorf("%q is not a profile; choose minimal, standard or full", text)
	}
	*p = Profile(text)
	return nil
}

// Source is how linectl learns of a part.
type Source string

// The sources.
const (
	Polling     Source = "poll"         // linectl reads the trigger again and again
	Subscribing Source = "subscription" // the PLC tells of changes
)

// UnmarshalText reads a source.
func (s *Source) UnmarshalText(text []byte) error {
	switch source := Source(text); source {
	case Polling, Subscribing:
		*s = source
		return nil
	}
	return fmt.Errorf("%q is no way to learn of a part; choose poll or subscription", text)
}

// demands tells whether a signal that is mandatory from the given profile on must be configured.
func (p Profile) demands(from Profile) bool {
	at := slices.Index(profiles, from)
	return at >= 0 && at <= slices.Index(profiles, p)
}

const (
	policyNone = "None"
	modeNone   = "None"
)

var (
	policies = []string{"Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", policyNone}
	modes    = []string{"SignAndEncrypt", "Sign", modeNone}
)

// Check reports every mistake in the section. It neither opens a file nor a connection.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	say := func(key, format string, args ...any) {
		problems = append(problems, setting.Problemf(key, format, args...))
	}
	if err := checkEndpoint(c.Endpoint); err != nil {
		say("endpoint", "%v", err)
	}
	if !slices.Contains(profiles, c.Profile) {
		say("profile", "%q is not a profile; choose minimal, standard or full", c.Profile)
	}
	if c.Trigger != Polling && c.Trigger != Subscribing {
		say("trigger", "%q is no way to learn of a part; choose poll or subscription", c.Trigger)
	}
	if c.Poll.Std() < time.Millisecond || c.Poll.Std() > time.Second {
		say("poll", "%s is out of range; allowed is 1ms to 1s", c.Poll)
	}
	if c.Stale <= 0 || c.Stale < 10*c.Poll || c.Stale.Std() > time.Minute {
		say("stale", "%s is out of range; allowed is ten times plc.poll (%s) to 1m", c.Stale, 10*c.Poll)
	}
	c.checkSecurity(say)
	return append(problems, c.Tags.check(c.Profile)...)
}

func (c Config) checkSecurity(say func(key, format string, args ...any)) {
	if !slices.Contains(policies, c.SecurityPolicy) {
		say("security_policy", "%q is not a policy; choose %s", c.SecurityPolicy, orList(policies))
	}
	if !slices.Contains(modes, c.SecurityMode) {
		say("security_mode", "%q is not a mode; choose %s", c.SecurityMode, orList(modes))
	}
	open := c.SecurityPolicy == policyNone
	switch {
	case open != (c.SecurityMode == modeNone):
		say("security_mode", "%q does not go with security_policy %q; None stands in both or in neither", c.SecurityMode, c.SecurityPolicy)
	case open && !c.Insecure:
		say("security_policy", "is None, so anybody on the network could pass parts; choose %s, or accept the risk with insecure = true", policies[0])
	case !open && c.Insecure:
		say("insecure", "is true, but the security policy is %s; remove it, or write None for security_policy and security_mode", c.SecurityPolicy)
	}
	for _, set := range [][2]string{{"server_certificate", c.ServerCertificate}, {"server_sha256", c.ServerSHA256}, {"revoked", c.Revoked}} {
		if open && set[1] != "" {
			say(set[0], "would be ignored, because security_policy is None: the PLC shows no certificate; remove it, or choose %s", policies[0])
		}
	}
	if c.ServerCertificate != "" && c.ServerSHA256 != "" {
		say("server_sha256", "is set beside server_certificate; one of them is enough")
	}
	if c.ServerSHA256 != "" {
		if _, err := pki.ParseFingerprint(c.ServerSHA256); err != nil {
			say("server_sha256", "%v", err)
		}
	}
	switch {
	case c.UserCertificate != "" && c.User != "":
		say("user_certificate", "is set beside user; one of them is enough")
	case c.UserCertificate != "" && open:
		say("user_certificate", "proves nothing, because security_policy is None; use a secure policy or no user")
	case c.UserCertificate != "" && checkSecret(c.UserCertificate) != nil:
		say("user_certificate", "%q %v", c.UserCertificate, checkSecret(c.UserCertificate))
	case c.User != "" && open:
		say("user", "would send its password in clear text, because security_policy is None; use a secure policy or no user")
	case c.User != "" && c.PasswordFile == "":
		say("password_file", "is missing; name the file that holds the password of user %q", c.User)
	case c.User != "" && checkSecret(c.PasswordFile) != nil:
		say("password_file", "%q %v", c.PasswordFile, checkSecret(c.PasswordFile))
	case c.User == "" && c.PasswordFile != "":
		say("user", "is missing, but password_file is set; name the user")
	}
}

func checkEndpoint(endpoint string) error {
	const form = "write opc.tcp://HOST:PORT, as in opc.tcp://192.0.2.10:4840"
	if endpoint == "" {
		return fmt.Errorf("is missing; %s", form)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "opc.tcp" || u.Hostname() == "" {
		return fmt.Errorf("%q is no endpoint; %s", endpoint, form)
	}
	return nil
}

// secure tells whether the session is signed or encrypted, and so whether certificates play a part.
func (c Config) secure() bool { return c.SecurityPolicy != policyNone }

// mode is the security mode as the library has it.
func (c Config) mode() ua.MessageSecurityMode {
	return ua.MessageSecurityModeFromString(c.SecurityMode)
}

// Pinned is the file of the certificate that the PLC must show, given the pki folder.
func (c Config) Pinned(folder string) string {
	return cmp.Or(c.ServerCertificate, filepath.Join(folder, "plc.der"))
}

// orList writes "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
