package store

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"linectl/internal/setting"
)

// Calendar is how a plant counts its time.
type Calendar struct {
	Zone   *time.Location
	Shifts []time.Duration // when each begins, after midnight, in order
}

// Calendar is what the config says; without a time zone that of the machine.
func (c Config) Calendar() (Calendar, error) {
	zone := time.Local
	if c.TimeZone != "" {
		var err error
		if zone, err = time.LoadLocation(c.TimeZone); err != nil {
			return Calendar{}, err
		}
	}
	calendar := Calendar{Zone: zone}
	for _, text := range strings.Fields(c.Shifts) {
		begin, err := time.Parse("15:04", text)
		if err != nil || begin.Minute()%15 != 0 {
			return Calendar{}, fmt.Errorf("%q is not a quarter of an hour such as 06:15", text)
		}
		calendar.Shifts = append(calendar.Shifts, time.Duration(begin.Hour())*time.Hour+time.Duration(begin.Minute())*time.Minute)
	}
	if !slices.IsSorted(calendar.Shifts) {
		return Calendar{}, fmt.Errorf("the shifts are not in the order of the day")
	}
	return calendar, nil
}

func (c Config) checkCalendar() []setting.Problem {
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		return []setting.Problem{setting.Problemf("time_zone", "%v; give a name such as Europe/Berlin", err)}
	}
	if _, err := c.Calendar(); err != nil {
		return []setting.Problem{setting.Problemf("shifts", "%v", err)}
	}
	return nil
}

// Shift names the shift in which an instant lies: the day on which it began, and when. Before the
// first shift of a day it is the last one of the day before.
func (c Calendar) Shift(t time.Time) string {
	t = t.In(c.Zone)
	if len(c.Shifts) == 0 {
		return t.Format(time.DateOnly)
	}
	clock := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	for _, begin := range slices.Backward(c.Shifts) {
		if clock >= begin {
			return shiftName(t, begin)
		}
	}
	return shiftName(t.AddDate(0, 0, -1), c.Shifts[len(c.Shifts)-1])
}

func shiftName(day time.Time, begin time.Duration) string {
	return fmt.Sprintf("%s %02d:%02d", day.Format(time.DateOnly), int(begin.Hours()), int(begin.Minutes())%60)
}
