import { describe, expect, test } from 'vitest';
import { GoFile } from '../../src/kubernetes/generate/go-types.js';
import { messagesOf } from '../../src/kubernetes/generate/messages.js';
import { releaseOf, releasesIn, tableSource } from '../../src/kubernetes/generate/table.js';
import type { MessagePlan } from '../../src/kubernetes/schema/plan.js';
import { GENERATIONS, isKnownKind, kindOf, knownKinds } from '../../src/kubernetes/schema/schema.js';

const PACKAGE = 'k8s.io/api/apps/v9';
const SOURCE = `
package v9
/* a comment
   type NotThis struct{} */
import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)
const ( A Mode = "x" ) // type Nor struct { This string }
type Mode string
type ( Extra []string; Names map[string]string )
// Thing is a kind.
type Thing struct {
	metav1.TypeMeta \`json:",inline"\`
	Spec Spec \`json:"spec,omitempty" protobuf:"bytes,2,opt,name=spec"\`
	Hidden int \`json:"-"\`
}
type Spec struct {
	Inner \`json:",inline" protobuf:"bytes,1,opt,name=inner"\`
	Port, Other *intstr.IntOrString \`json:"port" protobuf:"bytes,2,opt,name=port"\`
	Modes []Mode \`json:"modes,omitempty" protobuf:"bytes,3,rep,name=modes"\`
	Extra map[string]Extra \`json:"extra" protobuf:"bytes,4,rep,name=extra"\`
	Names Names \`json:"names,omitempty" protobuf:"bytes,5,rep,name=names"\`
	When metav1.Time \`json:"when,omitempty,omitzero" protobuf:"bytes,6,opt,name=when"\`
	Raw []byte \`json:"raw" protobuf:"bytes,7,opt,name=raw"\`
}
type Inner struct { N *int64 \`json:"n,omitempty" protobuf:"varint,1,opt,name=n"\` }
func (t Thing) String() string { return "type X struct {" }
`;

describe('the generator', () => {
  const types = new GoFile(SOURCE, PACKAGE).types();
  const generation = { name: '1.99', types, packages: new Map([[PACKAGE, 'apps']]) };

  test('reads Go type declarations', () => {
    expect([...types.keys()].map((name) => name.slice(PACKAGE.length + 1))).toEqual(['Mode', 'Extra', 'Names', 'Thing', 'Spec', 'Inner']);
  });

  test('makes rows of them', () => {
    const messages = messagesOf(generation);
    expect(messages.get('apps/v9.Thing')).toMatchObject({ isKind: true, text: '2=Spec:spec/o' });
    expect(messages.get('apps/v9.Spec')?.text).toBe('1=Inner: 2I:port/p 2I:port/p 3*s:modes/o 4%Ws:extra 5%s:names/o 6T:when/oz 7y:raw');
    expect(messages.get('apps/v9.Inner')?.text).toBe('1l:n/po');
  });

  test('what it wrote it reads again', () => {
    const other = { ...generation, name: '1.98', types: new GoFile(SOURCE.replace('"n,omitempty"', '"m"'), PACKAGE).types() };
    const source = tableSource([other, generation].map(releaseOf), ['nothing']);
    const strings = [...source.matchAll(/^ {2}(".*"),$/gm)].map((match) => JSON.parse(match[1] as string) as string);
    expect(source).toContain("['1.99', '1.98']");
    expect(strings).toEqual([expect.stringContaining('Inner 0 1l:n/po\nInner 1 1l:m/p\n')]);
    expect(tableSource(releasesIn(['1.99', '1.98'], strings), ['nothing'])).toBe(source);
  });
});

describe('the schema', () => {
  test('knows every kind that Kubernetes has had since 1.8', () => {
    expect(GENERATIONS).toContain('1.36');
    expect(GENERATIONS).toContain('1.8');
    expect(knownKinds().length).toBeGreaterThan(450);
    for (const [apiVersion, kind] of [
      ['v1', 'Pod'],
      ['apps/v1beta2', 'Deployment'],
      ['extensions/v1beta1', 'PodSecurityPolicy'],
      ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'],
      ['apiregistration.k8s.io/v1', 'APIService'],
      ['v1', 'Status'],
      ['policy/v1beta1', 'Eviction'],
    ] as const)
      expect(isKnownKind(apiVersion, kind), kind).toBe(true);
    expect(isKnownKind('example.com/v1', 'Widget')).toBe(false);
    expect(isKnownKind('apps/v1', 'Pod')).toBe(false);
  });

  test('every message that a field refers to is there, in every generation', () => {
    const seen = new Set<MessagePlan>();
    const walk = (plan: MessagePlan): void => {
      if (seen.has(plan)) return;
      seen.add(plan);
      for (const field of plan.fields) {
        expect(field.type, `${plan.name}.${field.json}`).toBeDefined();
        if (field.type === 7 || field.type > 14) walk(field.message as MessagePlan);
      }
    };
    for (const { apiVersion, kind } of knownKinds()) {
      const { union, plans } = kindOf(apiVersion, kind);
      for (const plan of [union, plans[0], plans[4], plans[16], plans.at(-1)]) if (plan !== undefined) walk(plan);
    }
    expect(seen.size).toBeGreaterThan(3000);
  });
});
