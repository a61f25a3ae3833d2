package parts

// conveyor is the belt under a part, a little rough and never evenly clean.
func conveyor(texture uint64, p point, colour [3]float64) cell {
	c := cell{relief: -6, colour: colour}
	return c.shade(1 + 0.10*field(texture, p.x/38, p.y/38) + 0.09*field(texture+1, p.x/2.2, p.y/2.2))
}

// shadow is the share of the lamp's light that a round part keeps from the belt beside it.
func shadow(p, light point, radius float64) float64 {
	return 1 - ramp(-9, 11, p.plus(light.times(9)).length()-radius)
}
