package network

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

// shared holds the backbones that are open in this process: recipes that look through the same network
// share its weights and its working memory. It is a variable of the package as the library itself is one
// of the process.
var shared = struct {
	sync.Mutex
	open map[identity]*sharedModel
}{open: map[identity]*sharedModel{}}

// identity is what two backbones must have in common to be one.
type identity struct {
	content [sha256.Size]byte
	layers  string
	device  Device
	threads int
	form    form // of a device that translates a network for one size; zero on others
}

type sharedModel struct {
	*model
	sessions int
	rest     func() // ends what keeps the device awake; nil where nothing does
}

// share finds or makes the model of a backbone and counts one session more; release takes it back.
func (r *Runtime) share(bytes []byte, layers []string, f form) (m *sharedModel, release func(), err error) {
	id := identity{content: sha256.Sum256(bytes), layers: strings.Join(layers, " "), device: r.device, threads: r.threads, form: form{input: f.input}}
	if r.device.compiles() {
		id.form = f
	}
	shared.Lock()
	defer shared.Unlock()
	if m = shared.open[id]; m == nil {
		made, err := r.newModel(bytes, []string{f.input}, layers, f)
		if err != nil {
			return nil, nil, err
		}
		m = &sharedModel{model: made}
		shared.open[id] = m
	}
	m.sessions++
	return m, func() {
		shared.Lock()
		defer shared.Unlock()
		if m.sessions--; m.sessions == 0 {
			delete(shared.open, id)
			if m.rest != nil {
				m.rest()
			}
			m.session.Destroy()
		}
	}, nil
}

// A GPU lowers its clock when nothing is asked of it, and the first part after a pause waits for it. So a
// network that was idle for a second is run a few times a second until the next part comes.
const (
	idle = time.Second
	beat = 250 * time.Millisecond
)

// stayAwake keeps the device busy with a twin, a network of the same model whose tensors nobody else uses,
// until the last session is closed. The second call does nothing.
func (m *sharedModel) stayAwake(twin func() (*Network, error)) error {
	shared.Lock()
	defer shared.Unlock()
	if m.rest != nil {
		return nil
	}
	n, err := twin()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		whileIdle(ctx, m.pulse(n.session.run))
	}()
	m.rest = func() {
		stop()
		<-ended
		n.Close()
	}
	return nil
}

// pulse runs a model that was not used for a while. A run that fails is not reported: the next part's own
// will fail too.
func (m *model) pulse(run func() error) func() {
	return func() {
		if !m.running.TryLock() {
			return // a part is there
		}
		defer m.running.Unlock()
		if time.Since(m.used) >= idle {
			_ = run()
			m.pulses++
		}
	}
}

// whileIdle calls pulse every beat until ctx ends.
func whileIdle(ctx context.Context, pulse func()) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			pulse()
		}
	}
}
