package native

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

func TestAnnotations(t *testing.T) { enginetest.Annotations(t, start()) }

func TestExternalAuth(t *testing.T) { enginetest.ExternalAuth(t, start()) }

func TestMirror(t *testing.T) { enginetest.Mirror(t, start()) }

func TestErrorPages(t *testing.T) { enginetest.ErrorPages(t, start()) }

func TestAffinity(t *testing.T) { enginetest.Affinity(t, start()) }

func TestRules(t *testing.T) { enginetest.Rules(t, start()) }

func TestBalancing(t *testing.T) { enginetest.Balancing(t, start()) }

func TestSilence(t *testing.T) { enginetest.Silence(t, start()) }

func TestRolling(t *testing.T) { enginetest.Rolling(t, start()) }

func TestConfigMaps(t *testing.T) { enginetest.ConfigMaps(t, start()) }
