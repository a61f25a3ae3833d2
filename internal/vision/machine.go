package vision

import (
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// mode is what the client has commanded.
type mode int

const (
	automatic mode = iota // linectl takes this mode by itself, as 8.2.2.2 allows
	preoperational
	halted
)

// state is one of OPC 40100-1, 8.2.2 and 8.3.5, by its number in the nodeset.
type state struct {
	name   string
	number uint32
}

var (
	statePreoperational  = state{"Preoperational", 5028}
	stateHalted          = state{"Halted", 5029}
	stateError           = state{"Error", 5030}
	stateOperational     = state{"Operational", 5031}
	stateInitialized     = state{"Initialized", 5056}
	stateReady           = state{"Ready", 5057}
	stateSingleExecution = state{"SingleExecution", 5058}
)

// states are the state of the vision system and, while that is Operational, of its automatic mode.
func (s *Station) states() (system, automaticMode state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statesNow()
}

// statesNow are the same to one who holds the lock.
func (s *Station) statesNow() (system, automaticMode state) {
	switch {
	case s.mode == halted:
		return stateHalted, state{}
	case !s.up || s.mode == preoperational:
		return statePreoperational, state{}
	case s.open != nil:
		return stateOperational, stateSingleExecution
	case s.status.Fault:
		return stateError, state{}
	case s.status.Busy:
		return stateOperational, stateSingleExecution
	case s.status.Ready:
		return stateOperational, stateReady
	}
	return stateOperational, stateInitialized
}

// The numbers of object types in the nodeset.
const (
	visionSystemType       = 1003
	recipeManagementType   = 1004
	resultManagementType   = 1007
	recipeFolderType       = 1008
	resultFolderType       = 1016
	visionStateMachineType = 1017
	automaticModeType      = 1021
	recipeType             = 1002
)

// Errors of methods: below 0 they are the application's own.
const (
	done       = int32(0)
	errState   = int32(-1) // not in this state
	errRecipe  = int32(-2) // another recipe than the active one
	errProduct = int32(-3) // linectl knows no products: leave it null
	errResult  = int32(-4) // no such result, or not any more, or not yet
)

// buildVisionSystem makes the view by OPC 40100-1.
func (s *Station) buildVisionSystem(a *space, objects *node) {
	system := a.child(objects, id.HasComponent, machine, ua.NodeClassObject, "VisionSystem", visionSystemType)
	system.typed, system.notifies = true, true
	machineNode := a.object(system, machine, "VisionStateMachine", visionStateMachineType)
	current := func(parent *node, of func() state) {
		n := a.variable(parent, standard, "CurrentState", id.LocalizedText, func() (any, ua.StatusCode) {
			if is := of(); is.name != "" {
				return text(is.name), ua.StatusOK
			}
			return nil, ua.StatusBadStateNotActive
		})
		a.property(n, "Id", id.NodeID, func() (any, ua.StatusCode) {
			if is := of(); is.name != "" {
				return ua.NewNumericNodeID(machine, is.number), ua.StatusOK
			}
			return nil, ua.StatusBadStateNotActive
		})
	}
	current(machineNode, func() state { system, _ := s.statesNow(); return system })
	failed := []argument{of("Error", id.Int32)}
	cause := []argument{of("Cause", id.Int32), of("CauseDescription", id.String)}
	command := func(parent *node, name string, in []argument, do func() int32) {
		a.method(parent, machine, name, method{in: in, out: failed, call: func(in []any) ([]any, ua.StatusCode) {
			result := do()
			detail := ""
			if len(in) == 2 {
				detail = in[1].(string)
			}
			s.log.Info("a client commands", "method", name, "cause", detail, "error", result)
			return []any{result}, ua.StatusOK
		}})
	}
	command(machineNode, "SelectModeAutomatic", nil, func() int32 { return s.command(automatic, preoperational) })
	command(machineNode, "Reset", cause, func() int32 { return s.command(preoperational, automatic, preoperational, halted) })
	command(machineNode, "Halt", cause, func() int32 { return s.command(halted, automatic, preoperational) })

	mode := a.object(machineNode, machine, "AutomaticModeStateMachine", automaticModeType)
	current(mode, func() state { _, mode := s.statesNow(); return mode })
	parameters := argument{name: "Parameters", dataType: ua.NewNumericNodeID(standard, id.BaseDataType), array: true}
	a.method(mode, machine, "StartSingleJob", method{
		in:  []argument{named("MeasId", measIDType), named("PartId", partIDType), named("RecipeId", recipeIDType), named("ProductId", productIDType), parameters},
		out: []argument{named("JobId", jobIDType), of("Error", id.Int32)}, call: s.callStartSingleJob,
	})
	command(mode, "Stop", cause, func() int32 { // the job ends by itself within the cycle, with all of its result
		if _, is := s.states(); is != stateSingleExecution {
			return errState
		}
		return done
	})
	command(mode, "Abort", cause, func() int32 {
		if !s.abort() {
			return errState
		}
		return done
	})
	s.buildRecipes(a, system)
	s.buildResults(a, system)
}

// command goes to a mode from one of some. A job that is open is aborted: its part is rejected.
func (s *Station) command(to mode, from ...mode) int32 {
	s.mu.Lock()
	allowed := false
	for _, m := range from {
		allowed = allowed || s.mode == m
	}
	if allowed {
		s.mode = to
	}
	s.mu.Unlock()
	if !allowed {
		return errState
	}
	if to != automatic {
		s.abort()
	}
	return done
}

// callStartSingleJob returns at once, with the job's id. The result is read from ResultManagement, or
// with linectl's own GetResult under the same number.
func (s *Station) callStartSingleJob(in []any) ([]any, ua.StatusCode) {
	refuse := func(code int32) ([]any, ua.StatusCode) { return []any{jobName(""), code}, ua.StatusOK }
	meas, partID, recipe, product := in[0].(string), in[1].(string), in[2].(string), in[3].(string)
	if product != "" {
		return refuse(errProduct)
	}
	if recipe != "" && recipe != s.recipe {
		return refuse(errRecipe)
	}
	if _, is := s.states(); is != stateReady {
		return refuse(errState)
	}
	j, err := s.begin(&job{trigger: part.Trigger{PartID: partID, Recipe: recipe, UserData: meas}, meas: meas, single: true})
	if err != nil {
		return refuse(errState)
	}
	return []any{jobName(j.name()), done}, ua.StatusOK
}

// buildRecipes shows the active recipe: linectl prepares recipes by its own commands.
func (s *Station) buildRecipes(a *space, system *node) {
	recipes := a.object(a.object(system, machine, "RecipeManagement", recipeManagementType), machine, "Recipes", recipeFolderType)
	if s.recipe == "" {
		return
	}
	active := a.object(recipes, machine, s.recipe, recipeType)
	a.property(active, "IsPrepared", id.Boolean, constant(true)).name.NamespaceIndex = machine
	external := a.property(active, "ExternalId", id.String, constant(extension(recipeIDType, &recipeID{identifier{s.recipe}})))
	external.name.NamespaceIndex, external.dataType = machine, ua.NewNumericNodeID(machine, recipeIDType)
}

// States of a result (12.19).
const (
	resultCompleted = int32(1)
	resultAborted   = int32(3)
	resultFailed    = int32(4)
)

func resultState(j *job) int32 {
	switch {
	case j.aborted:
		return resultAborted
	case j.result.Reason.Inspected():
		return resultCompleted
	}
	return resultFailed
}

// buildResults shows the newest result by the names of ResultType (9.1). What the part is worth is not
// the standard's: it stands beside, by linectl's own names.
func (s *Station) buildResults(a *space, system *node) {
	management := a.object(system, machine, "ResultManagement", resultManagementType)
	a.method(management, machine, "GetResultById", method{in: []argument{named("ResultId", resultIDType), of("Timeout", id.Int32)},
		out: []argument{named("ResultHandle", handleType), named("Result", resultType), of("Error", id.Int32)}, call: s.callGetResultByID})
	results := a.object(management, machine, "Results", resultFolderType)
	newest := a.child(results, id.HasComponent, machine, ua.NodeClassObject, "LatestResult", id.BaseObjectType)
	simple := func(namespace uint16, name string, dataType uint32, f func(*job) any) {
		a.variable(newest, namespace, name, dataType, s.result(f))
	}
	name := func(name string, dataType uint32, f func(*job) any) {
		n := a.variable(newest, machine, name, 0, s.result(f))
		n.dataType = ua.NewNumericNodeID(machine, dataType)
	}
	simple(machine, "IsPartial", id.Boolean, func(*job) any { return false })
	simple(machine, "IsSimulated", id.Boolean, func(j *job) any { return j.result.Reason == part.Shadow })
	simple(machine, "ResultState", id.Int32, func(j *job) any { return resultState(j) })
	simple(machine, "CreationTime", id.UtcTime, func(j *job) any { return j.at })
	name("ResultId", resultIDType, func(j *job) any { return extension(resultIDType, &resultID{plain{j.name()}}) })
	name("JobId", jobIDType, func(j *job) any { return jobName(j.name()) })
	name("MeasId", measIDType, func(j *job) any { return extension(measIDType, &measID{identifier{j.meas}}) })
	name("PartId", partIDType, func(j *job) any { return extension(partIDType, &partID{identifier{j.trigger.PartID}}) })
	name("InternalRecipeId", internalType, func(*job) any { return extension(internalType, &internalID{identifier{s.recipe}}) })
	name("ExternalRecipeId", recipeIDType, func(*job) any { return extension(recipeIDType, &recipeID{identifier{s.recipe}}) })
	simple(ours, "Pass", id.Boolean, func(j *job) any { return j.result.Verdict == part.Pass })
	simple(ours, "Code", id.Int16, func(j *job) any { return j.result.Reason.Code() })
	simple(ours, "Score", id.Double, func(j *job) any { return j.result.ScoreTold() })
}
