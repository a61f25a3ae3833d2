package opcua

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
)

// discover asks the PLC for its endpoints, those that are spoken to over TCP; p.at is then where it answers.
func (p *peer) discover(ctx context.Context) (offered []*ua.EndpointDescription, err error) {
	if p.at, err = reach(ctx, p.cfg.Endpoint); err != nil {
		return nil, p.explain(err)
	}
	half := ctx
	if end, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		half, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(end)/2))
		defer cancel()
	}
	all, err := ask(half, p.at, false)
	if err != nil && timedOut(err) && ctx.Err() == nil {
		all, err = ask(ctx, p.at, true)
	}
	if err != nil {
		return nil, p.explain(err)
	}
	for _, e := range all {
		if !strings.HasPrefix(e.EndpointURL, "http") { // the same policy, but another protocol and maybe certificate
			offered = append(offered, e)
		}
	}
	return offered, nil
}

// behind is from where on a PLC's clock matters to the library: the shortest life that servers give a channel's keys.
const behind = 5 * time.Minute

// ask asks for the endpoints, over a channel of its own.
//
// The library reckons by the PLC's clock how long a channel's keys live, and then drops the keys of the channel that has
// the number of the token (uasc, scheduleExpiration). Where a server numbers both alike, as open62541 does, and its clock is
// behind, that is the channel itself, and no answer is understood any more. A renewal gives the token another
// number, and on a server that counts tokens on, those of later channels as well.
func ask(ctx context.Context, address string, renew bool) ([]*ua.EndpointDescription, error) {
	request := usual().request
	socket := &socket{}
	client, err := opcua.NewClient(address, opcua.AutoReconnect(false), opcua.Dialer(socket.dialer()), opcua.RequestTimeout(request))
	if err != nil {
		return nil, err
	}
	defer client.Close(ctx)
	var response *ua.GetEndpointsResponse
	err = socket.within(ctx, client, request, func(ctx context.Context) (err error) {
		if err := client.Dial(ctx); err != nil {
			return err
		}
		if renew {
			if err := client.SecureChannel().Renew(ctx); err != nil {
				return err
			}
		}
		if response, err = client.GetEndpoints(ctx); err != nil {
			return err
		}
		if !renew && time.Since(response.ResponseHeader.Timestamp) > behind {
			_ = client.SecureChannel().Renew(ctx) // should it fail, the session shows whether it was needed
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return response.Endpoints, nil
}

// reach gives an endpoint the address of its host that answers: a name may stand for several, as localhost does for ::1 and
// 127.0.0.1, and the library tries the first alone.
func reach(ctx context.Context, endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return "", err
	}
	if len(addresses) == 1 {
		return endpoint, nil
	}
	u.Host, err = answering(ctx, addresses, cmp.Or(u.Port(), "4840"))
	return u.String(), err
}

// answering is the first of the addresses where somebody listens, with the port.
func answering(ctx context.Context, addresses []string, port string) (host string, err error) {
	for _, address := range addresses {
		var conn net.Conn
		host = net.JoinHostPort(address, port)
		if conn, err = (&socket{}).dialer().Dialer.DialContext(ctx, "tcp", host); err == nil {
			return host, conn.Close()
		}
	}
	return "", err
}
